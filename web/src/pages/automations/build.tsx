// Writes an automation: what lets somebody in, and the steps, one below the other.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useId, useState } from "react";
import { client, got, refusal, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Button, Card, Notice } from "../../parts/basic";
import { explain, Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { ownZone } from "../campaigns/input";
import type { Automation } from "./page";
import { UNITS, unitOf } from "./words";

type Input = Schemas["AutomationInput"];
type Entry = Schemas["AutomationEntry"];
type Step = Schemas["AutomationStepInput"];

interface Known {
  lists: { id: number; name: string }[];
  templates: { id: number; name: string }[];
  fields: string[];
  from: string;
}

function inputOf(automation: Automation): Input {
  const { definition } = automation;
  const steps = definition.steps.map((step): Step => {
    if (step.kind !== "send") return step as Step;
    const { variants, ...senders } = step.content;
    const [mail] = variants;
    return { kind: "send", ...senders, mail: { subject: mail?.subject, kind: mail?.kind, body: mail?.body, text: mail?.text, layout: mail?.layout, translations: mail?.translations } };
  });
  return { name: automation.name, entry: definition.entry, again: definition.again, list: definition.list, tracking: definition.tracking, goal: definition.goal, steps };
}

export function Build({ automation }: { automation?: Automation }) {
  const { may } = useSession();
  const known = useQuery({
    queryKey: ["automation choices"],
    refetchOnWindowFocus: false,
    queryFn: async (): Promise<Known> => {
      const [lists, templates, fields, domains] = await Promise.all([
        got(client.GET("/v1/lists")), got(client.GET("/v1/templates")), got(client.GET("/v1/contact-fields")),
        may("domains_read") ? got(client.GET("/v1/domains")) : { items: [] },
      ]);
      return { lists: lists.items, templates: templates.items, fields: fields.items.filter((one) => ["date", "birthday"].includes(one.kind)).map((one) => one.name), from: domains.items[0] ? `news@${domains.items[0].name}` : "" };
    },
  });
  return <Shown of={known}>{(choices) => <Form automation={automation} known={choices} />}</Shown>;
}

function first(known: Known): Input {
  return { name: "", entry: { kind: "subscription", list: known.lists[0]?.id ?? 0 }, again: false, tracking: { opens: true, clicks: true }, steps: [newStep("send", known), newStep("wait", known), newStep("send", known)] };
}

function newStep(kind: Step["kind"], known: Known): Step {
  if (kind === "wait") return { kind, seconds: 3 * 86_400 };
  if (kind === "send") return { kind, from: known.from, mail: { template: known.templates[0]?.id } };
  if (kind === "condition") return { kind, expression: "opened within last 7 days" };
  if (kind === "change") return { kind, tags: [], subscribe: [], unsubscribe: [] };
  return { kind: "exit" };
}

const KINDS: Step["kind"][] = ["send", "wait", "condition", "change", "exit"];

function Form({ automation, known }: { automation?: Automation; known: Known }) {
  const [draft, setDraft] = useState<Input>(() => (automation ? inputOf(automation) : first(known)));
  const [wrong, setWrong] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const id = useId();
  const change = (part: Partial<Input>) => setDraft((before) => ({ ...before, ...part }));
  const steps = (next: Step[]) => change({ steps: next });
  const save = async () => {
    setBusy(true);
    setWrong(null);
    try {
      if (automation) {
        await got(client.PUT("/v1/automations/{id}", { params: { path: { id: automation.id } }, body: draft }));
        tell(t("act.saved"));
        await navigate({ to: ".", search: {} });
      } else {
        const made = await got(client.POST("/v1/automations", { body: draft }));
        await navigate({ to: "/automations/$id", params: { id: String(made.id) }, search: {} });
      }
      await queryClient.invalidateQueries();
    } catch (error) {
      setWrong(explain(refusal(error)));
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="stack">
      {wrong && <Notice tone="bad">{wrong}</Notice>}
      {automation?.state === "active" && <Notice>{t("automations.new_version")}</Notice>}
      <Card title={t("automations.entry")}>
        <div className="form">
          <div className="field"><label htmlFor={`${id}n`}>{t("templates.name")}</label><input id={`${id}n`} value={draft.name} onChange={(event) => change({ name: event.target.value })} /></div>
          <EntryFields entry={draft.entry} known={known} change={(entry) => change({ entry })} />
          <label className="check"><input type="checkbox" checked={draft.again ?? false} onChange={(event) => change({ again: event.target.checked })} /><span>{t("automations.again")}</span></label>
          {draft.entry.kind !== "subscription" && (
            <div className="field"><label htmlFor={`${id}l`}>{t("automations.leaves_with")}</label>
              <select id={`${id}l`} value={draft.list ?? ""} onChange={(event) => change({ list: event.target.value === "" ? undefined : Number(event.target.value) })}>
                <option value="">–</option>
                {known.lists.map((one) => <option key={one.id} value={one.id}>{one.name}</option>)}
              </select>
            </div>
          )}
        </div>
      </Card>
      <ol className="stack">
        {draft.steps.map((step, at) => (
          // biome-ignore lint: a step is known by its place
          <li key={at}>
            <Card title={`${at + 1}. ${word("automation_step", step.kind)}`} actions={<StepButtons at={at} steps={draft.steps} change={steps} />}>
              <div className="form"><StepFields step={step} known={known} isNew={!automation} change={(next) => steps(draft.steps.map((one, place) => (place === at ? next : one)))} /></div>
            </Card>
          </li>
        ))}
      </ol>
      <div className="row">
        {KINDS.map((kind) => <Button key={kind} icon="plus" onClick={() => steps([...draft.steps, newStep(kind, known)])}>{word("automation_step", kind)}</Button>)}
      </div>
      <div><Button look="main" busy={busy} onClick={() => void save()}>{t("act.save")}</Button></div>
    </div>
  );
}

function StepButtons({ at, steps, change }: { at: number; steps: Step[]; change: (steps: Step[]) => void }) {
  const moved = (by: number) => {
    const next = [...steps];
    const [step] = next.splice(at, 1);
    if (step) next.splice(at + by, 0, step);
    change(next);
  };
  const n = at + 1;
  return (
    <>
      <Button small disabled={at === 0} onClick={() => moved(-1)} aria-label={t("automations.step_up", { n })}>{t("visual.up")}</Button>
      <Button small disabled={at === steps.length - 1} onClick={() => moved(1)} aria-label={t("automations.step_down", { n })}>{t("visual.down")}</Button>
      <Button small look="danger" onClick={() => change(steps.filter((_, place) => place !== at))} aria-label={t("automations.step_remove", { n })}>{t("visual.remove")}</Button>
    </>
  );
}

const ENTRIES: Entry["kind"][] = ["subscription", "tag", "date", "event"];

function EntryFields({ entry, known, change }: { entry: Entry; known: Known; change: (entry: Entry) => void }) {
  const id = useId();
  const turn = (kind: Entry["kind"]): Entry => {
    if (kind === "subscription") return { kind, list: known.lists[0]?.id ?? 0 };
    if (kind === "tag") return { kind, tag: "" };
    if (kind === "event") return { kind, event: "" };
    return { kind, field: known.fields[0] ?? "", days: 0, every_year: false, minute: 540, zone: ownZone() };
  };
  const text = (label: string, value: string, set: (value: string) => void, hint?: string) => (
    <div className="field"><label htmlFor={`${id}${label}`}>{label}</label><input id={`${id}${label}`} value={value} onChange={(event) => set(event.target.value)} />{hint && <span className="hint">{hint}</span>}</div>
  );
  return (
    <>
      <div className="field"><label htmlFor={`${id}k`}>{t("automations.comes_in")}</label>
        <select id={`${id}k`} value={entry.kind} onChange={(event) => change(turn(event.target.value as Entry["kind"]))}>
          {ENTRIES.map((kind) => <option key={kind} value={kind}>{word("automation_entry", kind)}</option>)}
        </select>
      </div>
      {entry.kind === "subscription" && (
        <div className="field"><label htmlFor={`${id}s`}>{t("list.title")}</label>
          <select id={`${id}s`} value={entry.list} onChange={(event) => change({ ...entry, list: Number(event.target.value) })}>
            {known.lists.map((one) => <option key={one.id} value={one.id}>{one.name}</option>)}
          </select>
        </div>
      )}
      {entry.kind === "tag" && text(t("segment_what.tag"), entry.tag, (tag) => change({ ...entry, tag }))}
      {entry.kind === "event" && text(t("automations.event"), entry.event, (event) => change({ ...entry, event }), t("automations.event_hint"))}
      {entry.kind === "date" && (
        <>
          <div className="field"><label htmlFor={`${id}f`}>{t("automations.field")}</label>
            <select id={`${id}f`} value={entry.field} onChange={(event) => change({ ...entry, field: event.target.value })}>
              {known.fields.map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
          </div>
          {text(t("automations.days_after"), String(entry.days ?? 0), (days) => change({ ...entry, days: Number(days) || 0 }), t("automations.days_hint"))}
          <label className="check"><input type="checkbox" checked={entry.every_year ?? false} onChange={(event) => change({ ...entry, every_year: event.target.checked })} /><span>{t("automations.every_year")}</span></label>
          <div className="field"><label htmlFor={`${id}t`}>{t("automations.at")}</label><input id={`${id}t`} type="time" value={`${String(Math.floor((entry.minute ?? 0) / 60)).padStart(2, "0")}:${String((entry.minute ?? 0) % 60).padStart(2, "0")}`} onChange={(event) => { const [hours, minutes] = event.target.value.split(":").map(Number); change({ ...entry, minute: (hours ?? 0) * 60 + (minutes ?? 0) }); }} /></div>
          {text(t("contact.zone"), entry.zone, (zone) => change({ ...entry, zone }))}
        </>
      )}
    </>
  );
}

function StepFields({ step, known, isNew, change }: { step: Step; known: Known; isNew: boolean; change: (step: Step) => void }) {
  const id = useId();
  if (step.kind === "wait") {
    const [unit, length] = unitOf(step.seconds);
    return (
      <div className="row">
        <div className="field"><label htmlFor={`${id}w`}>{t("automations.how_long")}</label><input id={`${id}w`} type="number" min={1} value={step.seconds / length} onChange={(event) => change({ ...step, seconds: Math.max(1, Number(event.target.value)) * length })} /></div>
        <div className="field"><label htmlFor={`${id}u`}>{t("segments.unit")}</label>
          <select id={`${id}u`} value={unit} onChange={(event) => change({ ...step, seconds: (step.seconds / length) * (UNITS.find(([name]) => name === event.target.value)?.[1] ?? 60) })}>
            {UNITS.map(([name]) => <option key={name} value={name}>{word("unit", name)}</option>)}
          </select>
        </div>
      </div>
    );
  }
  if (step.kind === "send") {
    return (
      <>
        <div className="field"><label htmlFor={`${id}t`}>{t("template.title")}</label>
          <select id={`${id}t`} value={step.mail.template ?? ""} onChange={(event) => change({ ...step, mail: event.target.value === "" ? step.mail : { template: Number(event.target.value) } })}>
            {!isNew && step.mail.template == null && <option value="">{t("campaign.as_written")}</option>}
            {known.templates.map((one) => <option key={one.id} value={one.id}>{one.name}</option>)}
          </select>
        </div>
        <div className="field"><label htmlFor={`${id}s`}>{t("messages.subject")}</label><input id={`${id}s`} value={step.mail.subject ?? ""} onChange={(event) => change({ ...step, mail: { ...step.mail, subject: event.target.value === "" ? undefined : event.target.value } })} /><span className="hint">{t("campaign.subject_hint")}</span></div>
        <div className="field"><label htmlFor={`${id}f`}>{t("compose.from")}</label><input id={`${id}f`} type="email" value={step.from} onChange={(event) => change({ ...step, from: event.target.value })} /></div>
        <div className="field"><label htmlFor={`${id}m`}>{t("campaign.from_name")}</label><input id={`${id}m`} value={step.from_name ?? ""} onChange={(event) => change({ ...step, from_name: event.target.value })} /></div>
      </>
    );
  }
  if (step.kind === "condition") {
    return (
      <>
        <div className="field"><label htmlFor={`${id}e`}>{t("segments.expression")}</label><input id={`${id}e`} className="mono" value={step.expression} onChange={(event) => change({ ...step, expression: event.target.value })} /><span className="hint">{t("automations.expression_hint")}</span></div>
        <div className="field"><label htmlFor={`${id}k`}>{t("automations.skip")}</label><input id={`${id}k`} type="number" min={1} value={step.skip ?? ""} onChange={(event) => change({ ...step, skip: event.target.value === "" ? undefined : Number(event.target.value) })} /><span className="hint">{t("automations.skip_hint")}</span></div>
      </>
    );
  }
  if (step.kind === "change") return <ChangeFields step={step} known={known} change={change} />;
  return <p className="faint">{t("automations.exit_means")}</p>;
}

type Change = Extract<Step, { kind: "change" }>;

function ChangeFields({ step, known, change }: { step: Change; known: Known; change: (step: Step) => void }) {
  const id = useId();
  const [typed, setTyped] = useState((step.tags ?? []).join(", "));
  const lists = (name: "subscribe" | "unsubscribe", label: string) => {
    const chosen = step[name] ?? [];
    const turn = (list: number, on: boolean) => change({ ...step, [name]: on ? [...chosen, list] : chosen.filter((one) => one !== list) });
    return (
      <fieldset className="field">
        <legend className="label">{label}</legend>
        <div className="checks">
          {known.lists.map((list) => <label className="check" key={list.id}><input type="checkbox" checked={chosen.includes(list.id)} onChange={(event) => turn(list.id, event.target.checked)} /><span>{list.name}</span></label>)}
        </div>
      </fieldset>
    );
  };
  const tags = (text: string) => {
    setTyped(text);
    change({ ...step, tags: text.split(",").map((tag) => tag.trim()).filter(Boolean) });
  };
  return (
    <>
      <div className="field"><label htmlFor={`${id}g`}>{t("automations.put_tags")}</label><input id={`${id}g`} value={typed} onChange={(event) => tags(event.target.value)} /><span className="hint">{t("contact.tags_hint")}</span></div>
      {lists("subscribe", t("contacts.subscribe"))}
      {lists("unsubscribe", t("contact.unsubscribe"))}
    </>
  );
}
