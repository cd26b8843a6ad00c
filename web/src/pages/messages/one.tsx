// One mail: its recipients, what happened, what it looks like, its source.
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { api, headers, Refused, type Schemas } from "../../api/client";
import { save } from "../../lib/csv";
import { read } from "../../lib/mime";
import { t } from "../../lib/text";
import { bytes, moment, toDate } from "../../lib/time";
import { Button, Card, PageHead, Pairs, When } from "../../parts/basic";
import { MailFrame } from "../../parts/frame";
import type { Column } from "../../parts/list";
import { Empty, Shown } from "../../parts/state";
import { Table } from "../../parts/table";
import { Talk } from "../../parts/talk";
import { Tabs } from "../../parts/tabs";
import { StateBadge } from "../../parts/words";
import { MessageTimeline } from "./timeline";

type Message = Schemas["MessageView"];

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  const message = api.useQuery("get", "/v1/messages/{id}", { params: { path: { id: Number(id) } } }, { refetchInterval: 5_000 });
  return <Shown of={message}>{(data) => <Drawn message={data} />}</Shown>;
}

function Drawn({ message }: { message: Message }) {
  const tabs = [
    { name: "story", title: t("message.story"), draw: () => <Story message={message} /> },
    { name: "preview", title: t("message.preview"), draw: () => <Body id={message.id} draw={Preview} /> },
    { name: "source", title: t("message.source"), draw: () => <Body id={message.id} draw={Source} /> },
  ];
  return (
    <>
      <PageHead title={message.subject || t("messages.no_subject")} text={`${message.sender || t("messages.null_sender")} · ${moment(message.accepted_at)}`} />
      <Recipients message={message} />
      <Tabs label={t("message.title")} tabs={tabs} />
    </>
  );
}

type Recipient = Message["deliveries"][number];

function Recipients({ message }: { message: Message }) {
  const columns: Column<Recipient>[] = [
    { title: t("messages.recipient"), cell: (row) => <Link to="/deliveries/$id" params={{ id: String(row.id) }} className="break">{row.recipient}</Link>, text: (row) => row.recipient },
    { title: t("messages.state"), cell: (row) => <StateBadge state={row.state} />, text: (row) => row.state },
    { title: t("messages.answer"), cell: (row) => <span className="break">{row.text}</span>, text: (row) => row.text },
    { title: t("messages.tries"), cell: (row) => row.tries, number: true },
    { title: t("queue.due"), cell: (row) => (row.state === "waiting" ? <When at={row.due_at} /> : "–"), text: (row) => (row.state === "waiting" ? toDate(row.due_at).toISOString() : "") },
  ];
  return <Table name={`message-${message.id}-recipients`} title={t("message.recipients", { n: message.deliveries.length })} rows={message.deliveries} columns={columns} id={(row) => row.id} empty={null} />;
}

function Story({ message }: { message: Message }) {
  return (
    <div className="grid wide">
      <MessageTimeline message={message} />
      <Card title={t("message.facts")}>
        <Pairs of={[
          [t("message.id"), message.id],
          [t("messages.message_id"), <span className="mono break" key="id">{message.message_id_header}</span>],
          [t("messages.sender"), message.sender || t("messages.null_sender")],
          [t("messages.tag"), message.tag],
          [t("messages.size"), bytes(message.bytes)],
          [t("messages.accepted"), moment(message.accepted_at)],
          [t("message.expires"), moment(message.expires_at)],
          [t("message.metadata"), message.metadata ? <code key="meta" className="break">{JSON.stringify(message.metadata)}</code> : null],
        ]} />
      </Card>
    </div>
  );
}

function Body({ id, draw: Draw }: { id: number; draw: (props: { raw: Uint8Array; id: number }) => React.ReactNode }) {
  const raw = useQuery({
    queryKey: ["raw", id],
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
    queryFn: async () => {
      const answer = await fetch(`/v1/messages/${id}/raw`, { headers: headers() });
      if (!answer.ok) throw new Refused(await answer.json());
      return new Uint8Array(await answer.arrayBuffer());
    },
  });
  if (raw.error instanceof Refused && raw.error.problem.status === 404) return <Card><Empty title={t("message.no_body")} text={t("message.no_body_text")} /></Card>;
  return <Card><Shown of={raw}>{(data) => <Draw raw={data} id={id} />}</Shown></Card>;
}

function Preview({ raw }: { raw: Uint8Array }) {
  const letter = read(raw);
  return (
    <div className="stack">
      {letter.html !== undefined && <MailFrame html={letter.html} title={t("message.preview")} />}
      {letter.text !== undefined && (
        <section className="stack tight">
          <h3>{t("message.text_part")}</h3>
          <Talk text={letter.text} label={t("message.text_part")} />
        </section>
      )}
      {letter.files.length > 0 && (
        <section className="stack tight">
          <h3>{t("message.files")}</h3>
          <ul>{letter.files.map((file, at) => <li key={`${file.name}${at}`}>{file.name ?? file.kind} <span className="faint">({file.kind}, {bytes(file.bytes)})</span></li>)}</ul>
        </section>
      )}
      {letter.html === undefined && letter.text === undefined && <Empty title={t("message.nothing_to_show")} />}
    </div>
  );
}

const SHOWN_BYTES_MAX = 512 * 1024;

function Source({ raw, id }: { raw: Uint8Array; id: number }) {
  const text = new TextDecoder().decode(raw.subarray(0, SHOWN_BYTES_MAX));
  return (
    <div className="stack tight">
      <div className="row"><Button icon="download" onClick={() => save(`${id}.eml`, new Blob([raw as BlobPart], { type: "message/rfc822" }))}>{t("message.download")}</Button></div>
      <Talk text={text} label={t("message.source")} />
      {raw.length > SHOWN_BYTES_MAX && <p className="faint">{t("message.cut", { shown: bytes(SHOWN_BYTES_MAX), all: bytes(raw.length) })}</p>}
    </div>
  );
}
