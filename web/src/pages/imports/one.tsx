// One import: which column is what, under which consent; then its progress and what failed.
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, client, got, headers, type Schemas } from "../../api/client";
import { save } from "../../lib/csv";
import { t, word } from "../../lib/text";
import { Badge, Button, Card, Notice, PageHead, Pairs } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { type Field, Form, given, many, type Values } from "../../parts/form";
import { Sheet } from "../../parts/sheet";
import { Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";
import { IMPORT_TONES } from "./page";

type View = Schemas["ImportView"];
type Target = Schemas["Target"];

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  const found = api.useQuery("get", "/v1/imports/{id}", { params: { path: { id: Number(id) } } }, { refetchInterval: (query) => (query.state.data?.state === "running" ? 1_000 : 10_000) });
  return <Shown of={found}>{(view) => <Drawn view={view} />}</Shown>;
}

function Drawn({ view }: { view: View }) {
  return (
    <>
      <PageHead title={<span className="break">{view.file_name}</span>}>
        <Badge tone={IMPORT_TONES[view.state]}>{word("import_state", view.state)}</Badge>
        <Actions view={view} />
      </PageHead>
      {view.trouble && <Notice tone="bad">{view.trouble}</Notice>}
      {view.preview ? <Mapping view={view} preview={view.preview} /> : <Progress view={view} />}
    </>
  );
}

function Progress({ view }: { view: View }) {
  const share = view.file_bytes === 0 ? 1 : view.done_bytes / view.file_bytes;
  const failed = async () => {
    const answer = await fetch(`/v1/imports/${view.id}/failed`, { headers: headers() });
    if (answer.ok) save(`failed-${view.id}.csv`, await answer.blob());
  };
  return (
    <Card title={t("import.progress")}>
      <div className="stack">
        <div className="bar" role="progressbar" aria-label={t("import.progress")} aria-valuenow={Math.round(share * 100)} aria-valuemin={0} aria-valuemax={100}><i style={{ width: `${share * 100}%` }} /></div>
        <Pairs of={[[t("import.read"), view.read_count.toLocaleString()], [t("imports.added"), view.added_count.toLocaleString()], [t("imports.updated"), view.updated_count.toLocaleString()], [t("imports.skipped"), view.skipped_count.toLocaleString()], [t("imports.failed"), view.failed_count.toLocaleString()]]} />
        {view.failed_count > 0 && <div className="row"><Button icon="download" onClick={() => void failed()}>{t("import.failed_rows")}</Button></div>}
      </div>
    </Card>
  );
}

function Actions({ view }: { view: View }) {
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const path = { id: view.id };
  const cancel = async () => {
    await got(client.POST("/v1/imports/{id}/cancel", { params: { path } }));
    await queryClient.invalidateQueries();
  };
  const remove = async () => {
    await got(client.DELETE("/v1/imports/{id}", { params: { path } }));
    tell(t("import.removed"));
    await navigate({ to: "/imports", search: {} });
    await queryClient.invalidateQueries();
  };
  return (
    <>
      {view.state === "running" && <Button look="danger" onClick={() => ask({ title: t("import.cancel"), text: t("import.cancel_text", { n: view.read_count }), button: t("import.cancel"), danger: true, act: cancel })}>{t("import.cancel")}</Button>}
      {view.state !== "running" && <Button onClick={() => ask({ title: t("import.remove"), text: t("import.remove_text"), button: t("import.remove"), danger: true, act: remove })}>{t("import.remove")}</Button>}
      {question}
    </>
  );
}

const MODES: Schemas["ImportMode"][] = ["subscribe", "add", "update", "unsubscribe", "suppress"];

function Mapping({ view, preview }: { view: View; preview: Schemas["Preview"] }) {
  const lists = api.useQuery("get", "/v1/lists");
  const known = api.useQuery("get", "/v1/contact-fields");
  const [columns, setColumns] = useState<Target[]>(preview.columns);
  const queryClient = useQueryClient();
  const fields: Field[] = [
    { name: "mode", label: t("import.mode"), kind: "select", options: options("import_mode", MODES) },
    { name: "lists", label: t("contacts.lists"), kind: "checks", options: (lists.data?.items ?? []).map((list) => [String(list.id), list.name]), shown: (values) => ["subscribe", "unsubscribe"].includes(String(values.mode)) },
    { name: "tags", label: t("contacts.tags"), hint: t("contact.tags_hint") },
    { name: "source", label: t("import.source"), hint: t("import.source_hint"), required: true, shown: (values) => values.mode === "subscribe" },
    { name: "wording", label: t("contact.wording"), hint: t("contact.wording_hint"), shown: (values) => values.mode === "subscribe" },
    { name: "agreed", label: t("import.agreed"), kind: "check", shown: (values) => values.mode === "subscribe" },
    { name: "date_order", label: t("import.dates"), kind: "select", options: options("date_order", ["day_first", "month_first"]) },
  ];
  const start = async (values: Values) => {
    const subscribes = values.mode === "subscribe";
    await got(client.POST("/v1/imports/{id}/start", { params: { path: { id: view.id } }, body: {
      mode: values.mode as Schemas["ImportMode"], columns, heads: preview.has_heads, delimiter: preview.delimiter,
      lists: many(values, "lists").map(Number), tags: (given(values, "tags") ?? "").split(/\s*,\s*/).filter(Boolean), date_order: values.date_order as Schemas["DateOrder"],
      declaration: subscribes ? { agreed: values.agreed === true, source: given(values, "source") ?? "", wording: given(values, "wording") } : undefined,
    } }));
    await queryClient.invalidateQueries();
  };
  return (
    <>
      {preview.origin !== "unknown" && <Notice tone="good">{t("import.known_origin", { origin: word("import_origin", preview.origin) })}</Notice>}
      {preview.broken > 0 && <Notice tone="warn">{t("import.broken", { n: preview.broken })}</Notice>}
      <Card title={t("import.columns")} bare actions={<Sheet name={`import-${view.id}-columns`} title={t("import.columns")} rows={() => sheetOf(preview, columns)} />}>
        <ColumnTable preview={preview} columns={columns} known={known.data?.items ?? []} set={(at, target) => setColumns(columns.map((one, index) => (index === at ? target : one)))} />
      </Card>
      <Card title={t("import.how")}><Form fields={fields} button={t("import.start")} submit={start} /></Card>
    </>
  );
}

/** The columns as they are mapped now, with what stands in them. */
function sheetOf(preview: Schemas["Preview"], columns: Target[]): string[][] {
  const becomes = (target: Target) => (target.to === "field" || target.to === "new_field" ? target.name : word("target", target.to));
  const line = (target: Target, at: number) => [preview.heads[at] ?? t("import.nth", { n: at + 1 }), becomes(target), ...preview.samples.map((row) => row[at] ?? "")];
  return [[t("import.column"), t("import.becomes"), ...preview.samples.map(() => t("import.samples"))], ...columns.map(line)];
}

function keyOf(target: Target): string {
  return target.to === "field" ? `field:${target.name}` : target.to === "new_field" ? `new:${target.kind}` : target.to;
}

function targetOf(key: string, head: string): Target {
  const [to, rest] = key.split(":");
  if (to === "field") return { to: "field", name: rest ?? "" };
  if (to === "new") return { to: "new_field", name: fieldName(head), kind: (rest ?? "text") as Schemas["FieldKind"], choices: [] };
  return { to: key } as Target;
}

function fieldName(head: string): string {
  const plain = head.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "");
  return /^[a-z]/.test(plain) ? plain : `field_${plain || "1"}`;
}

function ColumnTable({ preview, columns, known, set }: { preview: Schemas["Preview"]; columns: Target[]; known: Schemas["FieldView"][]; set: (at: number, target: Target) => void }) {
  const own = ["ignore", "email", "name", "language", "time_zone", "status", "tags"];
  return (
    // biome-ignore lint: what scrolls must be reachable by keyboard
    <div className="table-frame" tabIndex={0} role="group" aria-label={t("import.columns")}>
      <table className="as-cards">
        <thead><tr><th scope="col">{t("import.column")}</th><th scope="col">{t("import.samples")}</th><th scope="col">{t("import.becomes")}</th></tr></thead>
        <tbody>
          {columns.map((target, at) => {
            const head = preview.heads[at] ?? t("import.nth", { n: at + 1 });
            return (
              // biome-ignore lint: a column is known by its place
              <tr key={at}>
                <td data-title=""><strong>{head}</strong></td>
                <td data-title={t("import.samples")} className="faint break">{preview.samples.slice(0, 3).map((row) => row[at]).filter(Boolean).join(" · ")}</td>
                <td data-title={t("import.becomes")}>
                  <select aria-label={t("import.becomes_of", { column: head })} value={keyOf(target)} onChange={(event) => set(at, targetOf(event.target.value, head))}>
                    {own.map((to) => <option key={to} value={to}>{word("target", to)}</option>)}
                    {known.map((field) => <option key={field.name} value={`field:${field.name}`}>{field.label || field.name}</option>)}
                    {["text", "number", "date", "birthday", "boolean", "url"].map((kind) => <option key={kind} value={`new:${kind}`}>{t("import.new_field", { kind: word("field_kind", kind) })}</option>)}
                    {target.to === "new_field" && !["text", "number", "date", "birthday", "boolean", "url"].includes(target.kind) && <option value={keyOf(target)}>{t("import.new_field", { kind: word("field_kind", target.kind) })}</option>}
                  </select>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
