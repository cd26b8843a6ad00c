// Where mail leaves from: sources with their health, pools of them, rules that choose a pool.
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { moment } from "../../lib/time";
import { Badge, Notice, PageHead, Pairs, type Tone } from "../../parts/basic";
import { Concerned } from "../../parts/concerned";
import { Dialog, useQuestion } from "../../parts/dialog";
import { type Field, given, lines, type Values } from "../../parts/form";
import { type Column, List, says } from "../../parts/list";
import { FormDialog, Maker } from "../../parts/maker";
import { Loading } from "../../parts/state";
import { eventDetails } from "../../parts/story";
import { Tabs } from "../../parts/tabs";
import { Talk } from "../../parts/talk";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";
import { Pools, Rules } from "./pools";

type Source = Schemas["SourceView"];

export const HEALTH_TONES: Record<string, Tone> = { green: "good", yellow: "warn", red: "bad", unknown: "plain" };
const VERDICT_TONES: Record<string, Tone> = { fine: "good", weak: "warn", bad: "bad", not_known: "plain" };
const TLS: Schemas["TlsMode"][] = ["none", "opportunistic", "required", "verified", "implicit"];
const MECHANISMS: Schemas["RelayMechanism"][] = ["plain", "login", "xoauth2"];
const PRESETS = ["ses", "sendgrid", "mailgun", "sparkpost", "postmark", "elastic_email", "gmail"];

function fields(): Field[] {
  const isRelay = (values: Values) => values.kind === "relay";
  return [
    { name: "name", label: t("sources.name"), required: true, placeholder: "out1" },
    { name: "kind", label: t("sources.kind"), kind: "select", options: options("source_kind", ["address", "relay"]) },
    { name: "ehlo", label: t("sources.ehlo"), required: true, placeholder: "out1.example.com", hint: t("sources.ehlo_hint") },
    { name: "address", label: t("sources.addresses"), kind: "lines", required: true, hint: t("sources.addresses_hint"), shown: (values) => !isRelay(values) },
    { name: "public_address", label: t("sources.public"), kind: "lines", hint: t("sources.public_hint"), shown: (values) => !isRelay(values) },
    { name: "preset", label: t("sources.preset"), kind: "select", options: [["", t("sources.own_relay")], ...PRESETS.map((name): [string, string] => [name, name])], shown: isRelay },
    { name: "region", label: t("sources.region"), placeholder: "eu-central-1", shown: (values) => isRelay(values) && values.preset === "ses" },
    { name: "host", label: t("sources.host"), required: true, shown: (values) => isRelay(values) && values.preset === "" },
    { name: "port", label: t("sources.port"), kind: "number", min: 1, max: 65_535, placeholder: "587", shown: (values) => isRelay(values) && values.preset === "" },
    { name: "tls", label: t("sources.tls"), kind: "select", options: [["", t("sources.usual")], ...options("tls_of", TLS)], shown: (values) => isRelay(values) && values.preset === "" },
    { name: "mechanism", label: t("sources.mechanism"), kind: "select", options: [["", t("sources.usual")], ...MECHANISMS.map((name): [string, string] => [name, name.toUpperCase()])], shown: (values) => isRelay(values) && values.preset === "" },
    { name: "user", label: t("credentials.user"), shown: isRelay },
    { name: "secret_file", label: t("sources.secret_file"), hint: t("sources.secret_hint"), shown: isRelay },
    { name: "quota", label: t("sources.quota"), kind: "number", min: 1, hint: t("sources.quota_hint"), shown: isRelay },
    { name: "pool", label: t("sources.pool"), value: "default", hint: t("sources.pool_hint") },
  ];
}

async function add(values: Values) {
  const text = (name: string) => given(values, name);
  const number = (name: string) => (text(name) === undefined ? undefined : Number(text(name)));
  const relay = values.kind === "relay" ? { preset: text("preset"), region: text("region"), host: text("host"), port: number("port"), tls: TLS.find((one) => one === values.tls), mechanism: MECHANISMS.find((one) => one === values.mechanism), user: text("user"), secret_file: text("secret_file") } : undefined;
  await got(client.POST("/v1/sources", { body: { name: text("name") ?? "", ehlo: text("ehlo") ?? "", address: relay ? [] : lines(values, "address"), public_address: relay ? [] : lines(values, "public_address"), relay, quota: relay ? number("quota") : undefined, pool: text("pool") ?? "none" } }));
}

/** As a row says what it is. */
type Kind = { bind?: string[]; public?: string[] } & Partial<Schemas["RelayKind"]>;
const kindOf = (row: Source) => row as unknown as Kind;

function changeFields(row: Source): Field[] {
  const kind = kindOf(row);
  const ehlo: Field = { name: "ehlo", label: t("sources.ehlo"), required: true, value: row.ehlo, hint: t("sources.ehlo_hint") };
  if (kind.host === undefined) {
    return [
      ehlo,
      { name: "address", label: t("sources.addresses"), kind: "lines", required: true, value: (kind.bind ?? []).join("\n"), hint: t("sources.addresses_hint") },
      { name: "public_address", label: t("sources.public"), kind: "lines", value: (kind.public ?? []).join("\n"), hint: t("sources.public_hint") },
    ];
  }
  return [
    ehlo,
    { name: "host", label: t("sources.host"), required: true, value: kind.host },
    { name: "user", label: t("credentials.user"), value: kind.user ?? "" },
    { name: "secret_file", label: t("sources.secret_file"), value: kind.secret_file ?? "", hint: t("sources.secret_hint") },
  ];
}

async function change(row: Source, values: Values) {
  const text = (name: string) => given(values, name);
  const { host, port, tls, mechanism } = kindOf(row);
  const relay = host === undefined ? undefined : { host: text("host"), port, tls, mechanism, user: text("user"), secret_file: text("secret_file") };
  const body = { ehlo: text("ehlo") ?? "", address: relay ? [] : lines(values, "address"), public_address: relay ? [] : lines(values, "public_address"), relay };
  await got(client.PUT("/v1/sources/{name}", { params: { path: { name: row.name } }, body }));
}

export function Page() {
  const tabs = [
    { name: "sources", title: t("sources.title"), draw: () => <Sources /> },
    { name: "pools", title: t("pools.title"), draw: () => <Pools /> },
    { name: "rules", title: t("rules.title"), draw: () => <Rules /> },
  ];
  return (
    <>
      <PageHead title={t("sources.title")} text={t("sources.text")}>
        <Maker label={t("sources.add")} title={t("sources.add")} text={t("sources.add_text")} fields={fields()} button={t("sources.add")} done={t("sources.added")} submit={add} />
      </PageHead>
      <Tabs label={t("sources.title")} tabs={tabs} />
    </>
  );
}

function columns(): Column<Source>[] {
  return [
    {
      title: t("sources.name"),
      cell: (row) => (
        <>
          <strong>{row.name}</strong> {row.state === "suspended" && <Badge tone="warn">{t("organizations.suspended")}</Badge>}
          <div className="sub">{row.ehlo}</div>
        </>
      ),
      text: (row) => row.name,
    },
    { title: t("sources.leaves"), cell: (row) => leaves(row) },
    { title: t("sources.health"), cell: (row) => <Health source={row} />, text: (row) => row.health?.state ?? "" },
    { title: t("pools.title"), cell: (row) => row.pools.join(", ") },
    { title: t("limits.origin"), cell: (row) => word("source_origin", row.origin), text: (row) => row.origin },
  ];
}

/** Its address, or the host of its relay; which of them stands in the row. */
function leaves(row: Source): string {
  const kind = kindOf(row);
  return kind.host ?? ((kind.bind ?? []).join(", ") || t("sources.any_address"));
}

function Health({ source }: { source: Source }) {
  const { health } = source;
  if (!health) return <Badge>{word("health", "unknown")}</Badge>;
  const wrong = health.findings.filter((finding) => finding.verdict !== "fine");
  return (
    <>
      <Badge tone={HEALTH_TONES[health.state]}>{word("health", health.state)}</Badge>
      {source.is_overridden && <> <Badge tone="warn">{t("sources.overridden")}</Badge></>}
      {wrong.map((finding) => <div className="sub" key={finding.check}><Badge tone={VERDICT_TONES[finding.verdict]}>{word("source_check", finding.check)}</Badge> {finding.text}</div>)}
    </>
  );
}

async function concerned(row: Source): Promise<string> {
  const [warmups, lanes] = await Promise.all([got(client.GET("/v1/warmups")), got(client.GET("/v1/lanes"))]);
  const going = warmups.items.filter((one) => one.source === row.id).length;
  const connections = lanes.items.filter((one) => one.source === row.name).reduce((sum, one) => sum + one.connections, 0);
  return t("sources.remove_concerns", { warmups: going, pools: row.pools.length, connections });
}

function Sources() {
  const [tested, setTested] = useState<{ name: string; result?: Schemas["Tested"] } | null>(null);
  const [changing, setChanging] = useState<Source | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const path = (row: Source) => ({ params: { path: { name: row.name } } });
  const after = async (changed: { pools_without_source: string[] }) => {
    const empty = changed.pools_without_source;
    tell(empty.length > 0 ? t("sources.pools_empty", { pools: empty.join(", ") }) : t("act.saved"), empty.length > 0);
    await queryClient.invalidateQueries();
  };
  const setState = async (row: Source, state: Source["state"]) => after(await got(client.POST("/v1/sources/{name}/state", { ...path(row), body: { state } })));
  const override = async (row: Source) => after(await got(client.POST("/v1/sources/{name}/override", { ...path(row), body: { is_overridden: !row.is_overridden } })));
  const remove = async (row: Source) => after(await got(client.DELETE("/v1/sources/{name}", path(row))));
  const test = async (row: Source) => {
    setTested({ name: row.name });
    try {
      setTested({ name: row.name, result: await got(client.POST("/v1/sources/{name}/test", { ...path(row), body: {} })) });
      await queryClient.invalidateQueries();
    } catch (error) {
      setTested(null);
      throw error;
    }
  };
  const actions = (row: Source) => [
    { text: t("sources.test"), act: () => void test(row).catch((error: Error) => tell(error.message, true)) },
    row.state === "active"
      ? { text: t("organizations.suspend"), act: () => ask({ title: t("organizations.suspend"), text: t("sources.suspend_text", { name: row.name }), button: t("organizations.suspend"), act: () => setState(row, "suspended") }) }
      : { text: t("organizations.resume"), act: () => void setState(row, "active") },
    { text: row.is_overridden ? t("sources.override_end") : t("sources.override"), act: () => ask({ title: t("sources.override"), text: t("sources.override_text", { name: row.name }), button: row.is_overridden ? t("sources.override_end") : t("sources.override"), act: () => override(row) }) },
    ...(row.origin === "admin" ? [{ text: t("act.change"), act: () => setChanging(row) }] : []),
    ...(row.origin === "admin" ? [{ text: t("sources.remove"), danger: true, act: () => ask({ title: t("sources.remove"), text: <Concerned text={t("sources.remove_text", { name: row.name })} of={["source", row.id]} count={() => concerned(row)} />, button: t("sources.remove"), danger: true, act: () => remove(row) }) }] : []),
  ];
  return (
    <>
      <List whole name="sources" label={t("sources.title")} load={() => got(client.GET("/v1/sources"))} filters={[{ name: "health", label: t("sources.health"), kind: "select", options: options("health", Object.keys(HEALTH_TONES)) }, { name: "kind", label: t("sources.kind"), kind: "select", options: options("source_kind", ["address", "relay"]) }]} keeps={(row, search) => says(search.health, row.health?.state ?? "unknown") && says(search.kind, row.kind)} columns={columns()} id={(row) => row.name} actions={actions} every={10_000} empty={{ title: t("sources.empty"), text: t("sources.empty_text"), action: <Link to="/domains" search={{}} className="button">{t("domains.title")}</Link> }} />
      {tested && (
        <Dialog open close={() => setTested(null)} broad title={t("sources.test_of", { name: tested.name })}>
          {tested.result ? <Result result={tested.result} /> : <Loading rows={4} />}
        </Dialog>
      )}
      {changing && <FormDialog close={() => setChanging(null)} title={changing.name} text={t("sources.change_text")} fields={changeFields(changing)} button={t("act.save")} done={t("act.saved")} submit={(values) => change(changing, values)} />}
      {question}
    </>
  );
}

function Result({ result }: { result: Schemas["Tested"] }) {
  return (
    <div className="stack">
      {result.health && (
        <>
          <Notice tone={HEALTH_TONES[result.health.state] ?? "info"}>{t("sources.checked", { state: word("health", result.health.state), at: moment(result.health.checked_at) })}</Notice>
          <ul className="steps">
            {result.health.findings.map((finding) => <li key={finding.check}><Badge tone={VERDICT_TONES[finding.verdict]}>{word("verdict", finding.verdict)}</Badge><strong>{word("source_check", finding.check)}</strong><span className="text break">{finding.text}</span></li>)}
          </ul>
        </>
      )}
      {result.trial != null && <Connection trial={result.trial as Trial} />}
    </div>
  );
}

/** What a connection saw, as the daemon keeps it. */
interface Trial {
  facts: Record<string, unknown>;
  capabilities: string[];
  failure: string | null;
  dialogue: string[];
}

function Connection({ trial }: { trial: Trial }) {
  return (
    <section className="stack tight">
      <h3>{t("sources.connection")}</h3>
      {trial.failure && <Notice tone="bad">{trial.failure}</Notice>}
      <Pairs of={[...eventDetails(trial.facts), [t("sources.announces"), trial.capabilities.join(", ")]]} />
      {trial.dialogue.length > 0 && <Talk text={trial.dialogue.join("\n")} label={t("timeline.said")} />}
    </section>
  );
}
