// Files of contacts: upload, and what became of earlier ones.
import { useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type DragEvent, useId, useState } from "react";
import { client, got, headers, Refused, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, PageHead, type Tone, When } from "../../parts/basic";
import { Icon } from "../../parts/icon";
import { asked, byWords, type Column, List } from "../../parts/list";
import { options } from "../../parts/words";
import { explain } from "../../parts/state";
import { tell } from "../../parts/toast";

type Row = Schemas["ImportRow"];

export const IMPORT_TONES: Record<Row["state"], Tone> = { uploaded: "info", running: "info", done: "good", cancelled: "plain", failed: "bad" };

export function Page() {
  const { may } = useSession();
  const columns: Column<Row>[] = [
    { title: t("imports.file"), cell: (row) => <Link to="/imports/$id" params={{ id: String(row.id) }} className="break">{row.file_name}</Link>, text: (row) => row.file_name },
    { title: t("messages.state"), cell: (row) => <Badge tone={IMPORT_TONES[row.state]}>{word("import_state", row.state)}</Badge>, text: (row) => row.state },
    { title: t("imports.added"), cell: (row) => row.added_count, number: true },
    { title: t("imports.updated"), cell: (row) => row.updated_count, number: true },
    { title: t("imports.skipped"), cell: (row) => row.skipped_count, number: true },
    { title: t("imports.failed"), cell: (row) => row.failed_count, number: true },
    { title: t("imports.when"), cell: (row) => <When at={row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
  ];
  return (
    <>
      <PageHead title={t("imports.title")} text={t("imports.text")} />
      {may("contacts_write") && <Upload />}
      <List name="imports" label={t("imports.title")} load={(search, cursor) => got(client.GET("/v1/imports", { params: { query: { ...asked(search, cursor), state: search.state as Schemas["ImportState"] | undefined } } }))} filters={[byWords(), { name: "state", label: t("messages.state"), kind: "select", options: options("import_state", ["uploaded", "running", "done", "cancelled", "failed"]) }]} columns={columns} id={(row) => row.id} every={5_000} empty={{ title: t("imports.empty"), text: t("imports.empty_text") }} />
    </>
  );
}

/** Those that spreadsheets and older programs write; by the names of the web (WHATWG). */
const ENCODINGS = ["windows-1252", "iso-8859-2", "iso-8859-15", "windows-1250", "windows-1251", "windows-1253", "windows-1254", "utf-16le", "utf-16be", "koi8-r", "macintosh", "shift_jis", "euc-jp", "gb18030", "big5", "euc-kr"];

function Upload() {
  const [busy, setBusy] = useState(false);
  const [encoding, setEncoding] = useState("");
  const [entry, setEntry] = useState("");
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const id = useId();
  const upload = async (file: File | undefined) => {
    if (!file) return;
    setBusy(true);
    try {
      const how = new URLSearchParams({ file_name: file.name, ...(encoding ? { encoding } : {}), ...(entry.trim() ? { entry: entry.trim() } : {}) });
      const answer = await fetch(`/v1/imports?${how}`, { method: "POST", body: file, headers: { ...headers(), "content-type": "text/csv" } });
      if (!answer.ok) throw new Refused(await answer.json());
      const view = (await answer.json()) as Schemas["ImportView"];
      await queryClient.invalidateQueries();
      await navigate({ to: "/imports/$id", params: { id: String(view.id) } });
    } catch (error) {
      tell(explain(error), true);
    } finally {
      setBusy(false);
    }
  };
  const dropped = (event: DragEvent) => {
    event.preventDefault();
    void upload(event.dataTransfer.files[0]);
  };
  return (
    <div className="stack tight">
      {/* biome-ignore lint: dropping is a convenience beside the field */}
      <div className="drop" onDragOver={(event) => event.preventDefault()} onDrop={dropped} aria-busy={busy}>
        <Icon name="upload" />
        <label htmlFor={id}>{busy ? t("imports.uploading") : t("imports.drop")}</label>
        <input id={id} type="file" accept=".csv,.tsv,.txt,.zip,text/csv" disabled={busy} onChange={(event) => void upload(event.target.files?.[0])} />
      </div>
      <details>
        <summary>{t("imports.other")}</summary>
        <div className="filters">
          <label>{t("imports.encoding")}
            <select value={encoding} onChange={(event) => setEncoding(event.target.value)}>
              <option value="">{t("imports.encoding_usual")}</option>
              {ENCODINGS.map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
          </label>
          <label>{t("imports.entry")}<input value={entry} placeholder="contacts.csv" onChange={(event) => setEntry(event.target.value)} /></label>
        </div>
      </details>
    </div>
  );
}
