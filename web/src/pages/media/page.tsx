// Files of the organization: images that mails show, and what they carry.
import { useQueryClient } from "@tanstack/react-query";
import { type DragEvent, useId, useState } from "react";
import { client, got, headers, Refused, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { bytes, toDate } from "../../lib/time";
import { Copy, PageHead, When } from "../../parts/basic";
import { Dialog, useQuestion } from "../../parts/dialog";
import { Icon } from "../../parts/icon";
import { asked, byWords, type Column, List } from "../../parts/list";
import { options } from "../../parts/words";
import { explain } from "../../parts/state";
import { tell } from "../../parts/toast";

type Row = Schemas["MediaView"];

export function Page() {
  const { may } = useSession();
  const [used, setUsed] = useState<Row | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Row>[] = [
    { title: t("media.file"), cell: (row) => <span className="row"><Thumb row={row} /><span className="break">{row.name}</span></span>, text: (row) => row.name },
    { title: t("media.kind"), cell: (row) => row.content_type, text: (row) => row.content_type },
    { title: t("messages.size"), cell: (row) => bytes(row.bytes), text: (row) => String(row.bytes), number: true },
    { title: t("media.when"), cell: (row) => <When at={row.created_at} />, text: (row) => toDate(row.created_at).toISOString() },
  ];
  const remove = async (row: Row) => {
    await got(client.DELETE("/v1/media/{id}", { params: { path: { id: row.id } } }));
    tell(t("media.removed", { name: row.name }));
    await queryClient.invalidateQueries();
  };
  const writes = may("campaigns_write");
  const actions = (row: Row) => [
    ...(row.url ? [{ text: t("media.use"), act: () => setUsed(row) }] : []),
    ...(writes ? [{ text: t("media.remove"), danger: true, act: () => ask({ title: t("media.remove"), text: t("media.remove_text", { name: row.name }), button: t("media.remove"), danger: true, act: () => remove(row) }) }] : []),
  ];
  return (
    <>
      <PageHead title={t("media.title")} text={t("media.text")} />
      {writes && <Upload />}
      <List name="media" label={t("media.title")} load={(search, cursor) => got(client.GET("/v1/media", { params: { query: { ...asked(search, cursor), content_type: search.type } } }))} filters={[byWords(), { name: "type", label: t("media.kind"), kind: "select", options: options("media_type", ["image", "text", "application"]) }]} columns={columns} id={(row) => row.id} actions={actions} empty={{ title: t("media.empty"), text: t("media.empty_text") }} />
      {used?.url && <Use row={used} url={used.url} close={() => setUsed(null)} />}
      {question}
    </>
  );
}

/** As mails show it; asked of this host, whatever name the world knows it by. */
function Thumb({ row }: { row: Row }) {
  if (!row.url) return <span className="thumb"><Icon name="page" /></span>;
  return <img className="thumb" src={new URL(row.url).pathname} alt="" loading="lazy" />;
}

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

function Use({ row, url, close }: { row: Row; url: string; close: () => void }) {
  return (
    <Dialog open close={close} title={row.name} text={t("media.use_text")}>
      <div className="stack">
        <div><h3>{t("media.address")}</h3><Copy text={url} label={t("media.address")} /></div>
        <div><h3>HTML</h3><Copy text={`<img src="${url}" alt="${escaped(row.name)}">`} label="HTML" /></div>
        <div><h3>Markdown</h3><Copy text={`![${row.name.replaceAll(/[[\]]/g, "")}](${url})`} label="Markdown" /></div>
      </div>
    </Dialog>
  );
}

function Upload() {
  const [busy, setBusy] = useState(false);
  const queryClient = useQueryClient();
  const id = useId();
  const upload = async (files: FileList | null) => {
    setBusy(true);
    try {
      for (const file of files ?? []) {
        const answer = await fetch(`/v1/media?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file, headers: { ...headers(), "content-type": "application/octet-stream" } });
        if (!answer.ok) throw new Refused(await answer.json());
        tell(t("media.added", { name: file.name }));
      }
    } catch (error) {
      tell(explain(error), true);
    } finally {
      setBusy(false);
      await queryClient.invalidateQueries();
    }
  };
  const dropped = (event: DragEvent) => {
    event.preventDefault();
    void upload(event.dataTransfer.files);
  };
  return (
    // biome-ignore lint: dropping is a convenience beside the field
    <div className="drop" onDragOver={(event) => event.preventDefault()} onDrop={dropped} aria-busy={busy}>
      <Icon name="upload" />
      <label htmlFor={id}>{busy ? t("imports.uploading") : t("media.drop")}</label>
      <input id={id} type="file" multiple disabled={busy} onChange={(event) => { void upload(event.target.files).then(() => { event.target.value = ""; }); }} />
    </div>
  );
}
