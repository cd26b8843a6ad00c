// The log of mail: one row for each recipient, searched as one types.
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { bytes, ofInput } from "../../lib/time";
import { PageHead, When } from "../../parts/basic";
import type { Filter } from "../../parts/filters";
import { type Column, List } from "../../parts/list";
import { options, STATE_NAMES, StateBadge } from "../../parts/words";

type Row = Schemas["LogRow"];

function filters(): Filter[] {
  return [
    { name: "recipient", label: t("messages.recipient"), placeholder: "ann@example.com" },
    { name: "sender", label: t("messages.sender") },
    { name: "subject", label: t("messages.subject") },
    { name: "state", label: t("messages.state"), kind: "select", options: options("state_of", STATE_NAMES) },
    { name: "tag", label: t("messages.tag") },
    { name: "operator", label: t("progress.operator"), placeholder: "google" },
    { name: "source", label: t("lanes.source") },
    { name: "class", label: t("messages.class"), placeholder: "mailbox_full" },
    { name: "message_id", label: t("messages.message_id") },
    { name: "from", label: t("messages.from"), kind: "moment" },
    { name: "until", label: t("messages.until"), kind: "moment" },
  ];
}

function columns(): Column<Row>[] {
  return [
    {
      title: t("messages.recipient"),
      cell: (row) => (
        <>
          <Link to="/messages/$id" params={{ id: String(row.message) }} className="break">{row.recipient}</Link>
          <div className="sub">{row.subject || t("messages.no_subject")}</div>
        </>
      ),
      text: (row) => row.recipient,
    },
    { title: t("messages.state"), cell: (row) => <StateBadge state={row.state} />, text: (row) => row.state },
    { title: t("messages.answer"), cell: (row) => <span className="sub break">{row.text}</span>, text: (row) => row.text },
    { title: t("messages.sender"), cell: (row) => <span className="break">{row.sender || t("messages.null_sender")}</span>, text: (row) => row.sender },
    { title: t("messages.tag"), cell: (row) => row.tag ?? "" },
    { title: t("messages.tries"), cell: (row) => row.tries, number: true },
    { title: t("messages.size"), cell: (row) => <span className="nowrap">{bytes(row.bytes)}</span>, text: (row) => String(row.bytes), number: true },
    { title: t("messages.accepted"), cell: (row) => <When at={row.accepted_at} />, text: (row) => new Date(row.accepted_at / 1000).toISOString() },
  ];
}

function load(search: Record<string, string>, cursor: string | undefined) {
  const { recipient, sender, subject, tag, message_id, operator, source } = search;
  const query = {
    recipient, sender, subject, tag, message_id, operator, source, class: search.class,
    state: search.state as Schemas["State"] | undefined,
    from: search.from ? ofInput(search.from) : undefined,
    until: search.until ? ofInput(search.until) : undefined,
    cursor: cursor === undefined ? undefined : Number(cursor),
  };
  return got(client.GET("/v1/messages", { params: { query } }));
}

export function Page() {
  const { may } = useSession();
  return (
    <>
      <PageHead title={t("messages.title")} text={t("messages.text")}>
        {may("send") && <Link to="/compose" className="button">{t("compose.title")}</Link>}
      </PageHead>
      <List name="messages" label={t("messages.title")} load={load} columns={columns()} filters={filters()} id={(row) => row.delivery} every={10_000} empty={{ title: t("messages.empty"), text: t("messages.empty_text") }} />
    </>
  );
}
