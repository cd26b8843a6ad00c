// A template: its text beside what a contact would get, with what should be mended.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useId, useState } from "react";
import { api, client, got, refusal, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, Button, Card, Notice, PageHead } from "../../parts/basic";
import { MailFrame } from "../../parts/frame";
import { Empty, explain, Loading, Shown } from "../../parts/state";
import { Talk } from "../../parts/talk";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";

const Editor = lazy(() => import("./editor"));
const VisualEditor = lazy(() => import("./visual/editor"));

export type Input = Omit<Schemas["TemplateInput"], "body" | "document"> & { body: string };

/** Those that are written as text. */
const KINDS: Input["kind"][] = ["html", "markdown", "mjml"];
const OWN = ["email", "name", "language", "time_zone", "tags", "unsubscribe_url", "preferences_url", "browser_url", "confirm_url", "data"];
const FIRST: Input = {
  name: "",
  kind: "html",
  subject: "",
  body: '<h1>Hello {{ name|default("friend") }}</h1>\n<p>…</p>\n<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>\n',
};

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  if (id === "new") return <Edit key="new" input={FIRST} />;
  return <Existing id={Number(id)} />;
}

function Existing({ id }: { id: number }) {
  const template = api.useQuery("get", "/v1/templates/{id}", { params: { path: { id } } }, { refetchOnWindowFocus: false });
  return (
    <Shown of={template}>
      {({ name, kind, subject, body, text, layout, revision }) => <Edit key={`${id}.${revision}`} id={id} input={{ name, kind, subject, body, text, layout, revision }} />}
    </Shown>
  );
}

export function Edit({ id, input }: { id?: number; input: Input }) {
  const { may } = useSession();
  const [draft, setDraft] = useState(input);
  const [wrong, setWrong] = useState<{ text: string; field?: string } | null>(null);
  const [busy, setBusy] = useState(false);
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const changed = JSON.stringify(draft) !== JSON.stringify(input);
  useLeaveWarning(changed);
  const save = async () => {
    setBusy(true);
    setWrong(null);
    try {
      const row = id === undefined ? await got(client.POST("/v1/templates", { body: draft })) : await got(client.PUT("/v1/templates/{id}", { params: { path: { id } }, body: draft }));
      tell(t("act.saved"));
      await queryClient.invalidateQueries();
      if (id === undefined) await navigate({ to: "/templates/$id", params: { id: String(row.id) }, replace: true });
    } catch (error) {
      setWrong({ text: explain(error), field: refusal(error).problem.field ?? undefined });
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <PageHead title={draft.name || t("templates.add")}>
        {id !== undefined && <Badge>{t("template.revision", { n: input.revision ?? 1 })}</Badge>}
        {changed && <Badge tone="warn">{t("template.unsaved")}</Badge>}
        {may("campaigns_write") && <Button look="main" busy={busy} disabled={!changed && id !== undefined} onClick={save}>{t("act.save")}</Button>}
      </PageHead>
      {wrong && <Notice tone="bad">{wrong.text}</Notice>}
      {draft.kind === "document" ? <Visual draft={draft} wrong={wrong?.field} change={(part) => setDraft((before) => ({ ...before, ...part }))} /> : (
        <div className="grid wide">
          <Card title={t("template.text")}><Fields draft={draft} change={(part) => setDraft((before) => ({ ...before, ...part }))} /></Card>
          <Card title={t("template.preview")}><Preview draft={draft} /></Card>
        </div>
      )}
    </>
  );
}

function useLeaveWarning(changed: boolean) {
  useEffect(() => {
    if (!changed) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, [changed]);
}

interface DraftProps {
  draft: Input;
  change: (part: Partial<Input>) => void;
}

function NameAndSubject({ draft, change }: DraftProps) {
  const id = useId();
  return (
    <>
      <div className="field"><label htmlFor={`${id}n`}>{t("templates.name")}</label><input id={`${id}n`} value={draft.name} onChange={(event) => change({ name: event.target.value })} /></div>
      <div className="field"><label htmlFor={`${id}s`}>{t("messages.subject")}</label><input id={`${id}s`} value={draft.subject} onChange={(event) => change({ subject: event.target.value })} /></div>
    </>
  );
}

/** The visual editor, or what a contact would get of it. */
function Visual({ draft, change, wrong }: DraftProps & { wrong?: string }) {
  const { may } = useSession();
  const [looking, setLooking] = useState(false);
  const fields = api.useQuery("get", "/v1/contact-fields");
  const names = [...OWN, ...(fields.data?.items ?? []).map((field) => field.name)];
  return (
    <>
      <Card>
        <div className="grid"><NameAndSubject draft={draft} change={change} /></div>
      </Card>
      <fieldset className="row" aria-label={t("visual.shown")}>
        <Button aria-pressed={!looking} look={looking ? "quiet" : undefined} onClick={() => setLooking(false)}>{t("visual.put_together")}</Button>
        <Button aria-pressed={looking} look={looking ? undefined : "quiet"} onClick={() => setLooking(true)}>{t("template.preview")}</Button>
      </fieldset>
      {looking && <Card title={t("template.preview")}><Preview draft={draft} /></Card>}
      {/* What was undone can still be done again after a look at the preview. */}
      <div hidden={looking}>
        {fields.isPending ? <Loading rows={6} /> : <Suspense fallback={<Loading rows={6} />}><VisualEditor value={draft.body} names={names} writes={may("campaigns_write")} wrong={wrong} change={(body) => change({ body })} /></Suspense>}
      </div>
    </>
  );
}

function Fields({ draft, change }: DraftProps) {
  const id = useId();
  const fields = api.useQuery("get", "/v1/contact-fields");
  const layouts = api.useQuery("get", "/v1/layouts");
  const names = [...OWN, ...(fields.data?.items ?? []).map((field) => field.name)];
  return (
    <div className="stack">
      <NameAndSubject draft={draft} change={change} />
      <div className="row">
        <label className="row">{t("templates.kind")}
          <select style={{ width: "auto" }} value={draft.kind} onChange={(event) => change({ kind: event.target.value as Input["kind"] })}>
            {options("template_kind", KINDS).map(([name, text]) => <option key={name} value={name}>{text}</option>)}
          </select>
        </label>
        <label className="row">{t("layouts.one")}
          <select style={{ width: "auto" }} value={draft.layout ?? ""} onChange={(event) => change({ layout: event.target.value === "" ? null : Number(event.target.value) })}>
            <option value="">{t("layouts.none")}</option>
            {layouts.data?.items.map((layout) => <option key={layout.id} value={layout.id}>{layout.name}</option>)}
          </select>
        </label>
      </div>
      <div className="stack tight">
        <span className="label">{t("template.body")}</span>
        {fields.isPending ? <Loading rows={6} /> : <Suspense fallback={<Loading rows={6} />}><Editor value={draft.body} names={names} change={(body) => change({ body })} /></Suspense>}
        <span className="faint">{t("template.fields")} {names.map((name) => <code key={name}>{`{{ ${name} }} `}</code>)}</span>
      </div>
      <details>
        <summary>{t("template.own_text")}</summary>
        <div className="field"><label htmlFor={`${id}t`}>{t("message.text_part")}</label><textarea id={`${id}t`} value={draft.text ?? ""} onChange={(event) => change({ text: event.target.value === "" ? null : event.target.value })} /></div>
      </details>
    </div>
  );
}

const TYPING_MS = 500;

function Preview({ draft }: { draft: Input }) {
  const { may } = useSession();
  const [wanted, setWanted] = useState(draft);
  const [contact, setContact] = useState<number | null>(null);
  const contacts = api.useQuery("get", "/v1/contacts", { params: { query: { limit: 20 } } }, { enabled: may("contacts_read") });
  useEffect(() => {
    const timer = setTimeout(() => setWanted(draft), TYPING_MS);
    return () => clearTimeout(timer);
  }, [draft]);
  const chosen = contact ?? contacts.data?.items[0]?.id ?? null;
  const preview = useQuery({
    queryKey: ["preview", wanted, chosen],
    enabled: chosen !== null,
    retry: false,
    placeholderData: (before) => before,
    queryFn: () => got(client.POST("/v1/templates/preview", { body: { contact: chosen ?? 0, template: { ...wanted, name: wanted.name || "preview", revision: undefined } } })),
  });
  if (contacts.data && chosen === null) return <Empty title={t("template.no_contact")} text={t("template.no_contact_text")} />;
  return (
    <div className="stack">
      <label className="row">{t("template.as")}
        <select style={{ width: "auto", maxWidth: "100%" }} value={chosen ?? ""} onChange={(event) => setContact(Number(event.target.value))}>
          {contacts.data?.items.map((one) => <option key={one.id} value={one.id}>{one.email}</option>)}
        </select>
      </label>
      {preview.error ? <Notice tone="bad">{explain(preview.error)}</Notice> : null}
      {preview.data && (
        <>
          {preview.data.checks.map((check) => <Notice key={check.why} tone={check.weight === "wrong" ? "bad" : "warn"}><p><Badge tone={check.weight === "wrong" ? "bad" : "warn"}>{word("weight", check.weight)}</Badge> {check.why}</p></Notice>)}
          <p><strong>{preview.data.subject}</strong></p>
          <MailFrame html={preview.data.html} title={t("template.preview")} />
          <details>
            <summary>{t("message.text_part")}</summary>
            <Talk text={preview.data.text} label={t("message.text_part")} />
          </details>
        </>
      )}
    </div>
  );
}
