// Sources and domains on their way to full volume, and the wizard that begins one.
import { Link } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { api, client, got, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { Badge, PageHead, type Tone } from "../../parts/basic";
import { Chart } from "../../parts/chart";
import { type Field, given, lines, type Values } from "../../parts/form";
import { type Column, List, says } from "../../parts/list";
import { Maker } from "../../parts/maker";
import { Tabs } from "../../parts/tabs";
import { options } from "../../parts/words";
import { Calendar } from "./calendar";

export type Warmup = Schemas["WarmupView"];

export const WARMUP_TONES: Record<Warmup["state"], Tone> = { running: "info", paused: "warn", frozen: "bad", finished: "good", stopped: "plain" };

/** The names of what is warmed up, by its id. */
export function useSubjects() {
  const sources = api.useQuery("get", "/v1/sources", {}, { staleTime: 60_000 });
  const domains = api.useQuery("get", "/v1/domains", {}, { staleTime: 60_000 });
  return (warmup: Pick<Warmup, "source" | "domain">): string => {
    if (warmup.source != null) return sources.data?.items.find((one) => one.id === warmup.source)?.name ?? `${t("lanes.source")} ${warmup.source}`;
    return domains.data?.items.find((one) => one.id === warmup.domain)?.name ?? `${t("domain.title")} ${warmup.domain}`;
  };
}

export function Page() {
  const tabs = [
    { name: "list", title: t("warmups.title"), draw: () => <All /> },
    { name: "calendar", title: t("warmups.calendar_tab"), draw: () => <Calendar /> },
  ];
  return (
    <>
      <PageHead title={t("warmups.title")} text={t("warmups.text")}><Wizard /></PageHead>
      <Tabs label={t("warmups.title")} tabs={tabs} />
    </>
  );
}

function All() {
  const name = useSubjects();
  const columns: Column<Warmup>[] = [
    { title: t("warmups.subject"), cell: (row) => <Link to="/warmups/$id" params={{ id: String(row.id) }}>{name(row)} → {row.operator}</Link>, text: (row) => `${name(row)} → ${row.operator}` },
    { title: t("messages.state"), cell: (row) => <><Badge tone={WARMUP_TONES[row.state]}>{word("warmup_state", row.state)}</Badge>{row.note && <div className="sub">{row.note}</div>}</>, text: (row) => row.state },
    { title: t("warmups.day"), cell: (row) => t("warmups.day_of", { day: row.day, days: row.days }), text: (row) => String(row.day) },
    { title: t("warmups.today"), cell: (row) => <Today warmup={row} />, text: (row) => `${row.offered_today}/${row.budget ?? ""}` },
    { title: t("warmups.target"), cell: (row) => row.target.toLocaleString(), number: true },
    { title: t("warmups.plan"), cell: (row) => row.plan },
  ];
  return <List whole name="warmups" label={t("warmups.title")} load={() => got(client.GET("/v1/warmups"))} filters={[{ name: "state", label: t("messages.state"), kind: "select", options: options("warmup_state", Object.keys(WARMUP_TONES)) }, { name: "operator", label: t("classification.operator") }]} keeps={(row, search) => says(search.state, row.state) && row.operator.includes((search.operator ?? "").toLowerCase())} columns={columns} id={(row) => row.id} every={5_000} empty={{ title: t("warmups.empty"), text: t("warmups.empty_text") }} />;
}

function Today({ warmup }: { warmup: Warmup }) {
  if (warmup.budget == null) return <span className="faint">{t("warmups.unlimited", { n: warmup.offered_today })}</span>;
  const share = warmup.budget === 0 ? 1 : Math.min(1, warmup.offered_today / warmup.budget);
  return (
    <div style={{ minWidth: "7rem" }}>
      <span className="nowrap">{warmup.offered_today.toLocaleString()} / {warmup.budget.toLocaleString()}</span>
      <div className="bar" aria-hidden="true"><i style={{ width: `${share * 100}%` }} /></div>
    </div>
  );
}

/** No plan that ships has this name. */
const OWN_PLAN = ":text";

function Wizard() {
  const sources = api.useQuery("get", "/v1/sources");
  const domains = api.useQuery("get", "/v1/domains");
  const plans = api.useQuery("get", "/v1/warmup-plans", { params: { query: {} } }, { staleTime: 600_000 });
  const subjects: [string, string][] = [
    ...(sources.data?.items ?? []).map((one): [string, string] => [`source:${one.name}`, `${t("lanes.source")}: ${one.name}`]),
    ...(domains.data?.items ?? []).map((one): [string, string] => [`domain:${one.name}`, `${t("domain.title")}: ${one.name}`]),
  ];
  const fields: Field[] = [
    { name: "subject", label: t("warmups.subject"), kind: "select", options: subjects },
    { name: "operators", label: t("warmups.operators"), kind: "lines", hint: t("warmups.operators_hint"), placeholder: "google" },
    { name: "target", label: t("warmups.target"), kind: "number", min: 1, required: true, value: "50000", hint: t("warmups.target_hint") },
    { name: "plan", label: t("warmups.plan"), kind: "select", options: [...(plans.data?.items ?? []).map((one): [string, string] => [one.name, `${one.name}: ${one.summary}`]), ["", t("warmups.own_curve")], [OWN_PLAN, t("warmups.own_plan")]] },
    { name: "plan_text", label: t("warmups.plan_text"), kind: "code", required: true, hint: t("warmups.plan_text_hint"), shown: (values) => values.plan === OWN_PLAN },
    { name: "curve", label: t("warmups.curve"), required: true, placeholder: "50, 100, 200, 400", hint: t("warmups.curve_hint"), shown: (values) => values.plan === "" },
    { name: "window", label: t("warmups.window"), placeholder: "8-20", hint: t("warmups.window_hint") },
  ];
  const begin = async (values: Values) => {
    const [kind, name] = String(values.subject).split(/:(.*)/);
    const operators = lines(values, "operators");
    await got(client.POST("/v1/warmups", { body: {
      source: kind === "source" ? name : undefined, domain: kind === "domain" ? name : undefined, operators: operators.length > 0 ? operators : undefined,
      target: Number(values.target), plan: values.plan === "" || values.plan === OWN_PLAN ? undefined : String(values.plan), plan_text: values.plan === OWN_PLAN ? given(values, "plan_text") : undefined, curve: values.plan === "" ? curveOf(values) : undefined, window: given(values, "window"),
    } }));
  };
  return (
    <Maker label={t("warmups.begin")} title={t("warmups.begin")} text={t("warmups.begin_text")} broad fields={fields} button={t("warmups.begin")} done={t("warmups.begun")} submit={begin}>
      {(values: Values) => <Plan values={values} />}
    </Maker>
  );
}

function curveOf(values: Values): number[] {
  return (given(values, "curve") ?? "").split(/[\s,;]+/).map(Number).filter((count) => count > 0);
}

function Plan({ values }: { values: Values }) {
  const target = Number(values.target) || 0;
  const plan = String(values.plan);
  const plans = useQuery({ queryKey: ["plans", target], enabled: target > 0, staleTime: 600_000, placeholderData: (before) => before, queryFn: () => got(client.GET("/v1/warmup-plans", { params: { query: { target } } })) });
  const days = plan === "" ? curveOf(values) : (plans.data?.items.find((one) => one.name === plan)?.calendar ?? []);
  if (days.length === 0) return null;
  return <Chart points={days.map((count, at) => ({ name: String(at + 1), plan: count }))} label={t("warmups.calendar", { n: days.length })} plan={t("warmups.calendar", { n: days.length })} />;
}
