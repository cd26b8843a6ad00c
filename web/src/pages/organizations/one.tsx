// One organization: what it may send and has sent, whether its mail goes out, its streams.
import { useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { bytes } from "../../lib/time";
import { Badge, Button, Card, Notice, PageHead, When } from "../../parts/basic";
import { Concerned, waiting } from "../../parts/concerned";
import { useQuestion } from "../../parts/dialog";
import { type Field, Form, given, type Values } from "../../parts/form";
import { type Column } from "../../parts/list";
import { FormDialog } from "../../parts/maker";
import { Empty, Shown } from "../../parts/state";
import { Table } from "../../parts/table";
import { Tabs } from "../../parts/tabs";
import { tell } from "../../parts/toast";
import { StreamPolicyDialog } from "./policy";
import { Public } from "./public";
import { Suspending, useResume } from "./suspend";
import { StreamTrackingDialog } from "./tracking";

type View = Schemas["OrganizationView"];
type Stream = Schemas["StreamRow"];

export function Page() {
  const id = Number((useParams({ strict: false }) as { id: string }).id);
  const organization = api.useQuery("get", "/v1/organizations/{id}", { params: { path: { id } } }, { refetchInterval: 10_000 });
  return <Shown of={organization}>{(data) => <Drawn view={data} />}</Shown>;
}

function Drawn({ view }: { view: View }) {
  const { may } = useSession();
  const tabs = [
    { name: "overview", title: t("organization.overview"), draw: () => <Overview view={view} /> },
    ...(may("campaigns_read") || may("domains_read") ? [{ name: "public", title: t("public.title"), draw: () => <Public id={view.id} /> }] : []),
  ];
  return (
    <>
      <PageHead title={view.name} text={t("organization.text")}>
        {view.suspended_at ? <Badge tone="bad">{t("organizations.suspended")}</Badge> : <Badge tone="good">{t("organizations.active")}</Badge>}
        {may("installation") && <Suspension view={view} />}
      </PageHead>
      {view.suspended_at && <Notice tone="bad">{t("attention.suspended", { name: view.name, reason: view.suspended_reason ?? "" })}</Notice>}
      {view.capture && <Notice tone="warn">{t("organization.captured")}</Notice>}
      <Tabs label={t("organization.title")} tabs={tabs} />
    </>
  );
}

function Overview({ view }: { view: View }) {
  const { may } = useSession();
  return (
    <>
      <div className="grid wide">
        <Card title={t("organization.limits")}><Limits view={view} /></Card>
        <Card title={t("settings.title")}><Settings view={view} /></Card>
      </div>
      {may("installation") && <Card title={t("organization.pool")}><OwnPool view={view} /></Card>}
      <Streams id={view.id} />
    </>
  );
}

/** By which its mail leaves of which no rule speaks. */
function OwnPool({ view }: { view: View }) {
  const queryClient = useQueryClient();
  const pools = api.useQuery("get", "/v1/pools");
  const save = async (values: Values) => {
    await got(client.PUT("/v1/organizations/{id}/pool", { params: { path: { id: view.id } }, body: { pool: given(values, "pool") ?? null } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  return (
    <Shown of={pools} rows={2}>
      {({ items }) => <Form key={view.pool} fields={[{ name: "pool", label: t("pools.title"), kind: "select", options: [["", t("organization.no_pool")], ...items.map((one): [string, string] => [one.name, one.name])], value: items.find((one) => one.id === view.pool)?.name ?? "", hint: t("organization.pool_text") }]} button={t("act.save")} submit={save} />}
    </Shown>
  );
}

const SPANS = ["hour", "day", "month"] as const;

function Used({ view }: { view: View }) {
  return (
    <ul className="steps">
      {SPANS.map((span) => {
        const limit = view.send_limits[span];
        const sent = view.sent[span];
        const share = limit == null || limit === 0 ? 0 : Math.min(1, (sent ?? 0) / limit);
        return (
          <li key={span}>
            <strong>{t(`organization.${span}`)}</strong>
            <span className="text">{limit == null ? <span className="faint">{t("organization.unlimited")}</span> : t("organization.used", { sent: sent ?? 0, limit })}</span>
            {limit != null && <div className="bar" style={{ flex: "1 1 8rem" }} role="progressbar" aria-label={t(`organization.${span}`)} aria-valuenow={Math.round(share * 100)} aria-valuemin={0} aria-valuemax={100}><i className={share >= 1 ? "bad" : share > 0.8 ? "warn" : "good"} style={{ width: `${share * 100}%` }} /></div>}
          </li>
        );
      })}
    </ul>
  );
}

function Limits({ view }: { view: View }) {
  const { may } = useSession();
  const [open, setOpen] = useState(false);
  const fields = SPANS.map((span): Field => ({ name: span, label: t(`organization.${span}`), kind: "number", min: 0, value: view.send_limits[span]?.toString() ?? "" }));
  const save = async (values: Values) => {
    const of = (span: string) => (given(values, span) === undefined ? null : Number(given(values, span)));
    await got(client.PUT("/v1/organizations/{id}/send-limits", { params: { path: { id: view.id } }, body: { hour: of("hour"), day: of("day"), month: of("month") } }));
  };
  return (
    <div className="stack">
      <Used view={view} />
      <p className="faint">{t("organization.limits_text")}</p>
      {may("installation") && <div><Button onClick={() => setOpen(true)}>{t("organization.set_limits")}</Button></div>}
      {open && <FormDialog close={() => setOpen(false)} title={t("organization.set_limits")} text={t("organization.empty_unlimited")} fields={fields} button={t("act.save")} done={t("act.saved")} submit={save} />}
    </div>
  );
}

const GIB = 2 ** 30;

function Settings({ view }: { view: View }) {
  const { may } = useSession();
  const queryClient = useQueryClient();
  const [ask, question] = useQuestion();
  const path = { params: { path: { id: view.id } } };
  const fields: Field[] = [
    { name: "name", label: t("organizations.name"), required: true, value: view.name },
    { name: "keep_days", label: t("organization.keep_days"), kind: "number", min: 0, value: view.keep_days?.toString() ?? "", hint: t("organization.keep_hint") },
    { name: "keep_bytes", label: t("organization.keep_bytes"), kind: "number", min: 0, step: "any", value: view.keep_bytes ? String(view.keep_bytes / GIB) : "", hint: t("organization.keep_bytes_hint") },
  ];
  const save = async (values: Values) => {
    const days = Number(given(values, "keep_days") ?? 0);
    const octets = Math.round(Number(given(values, "keep_bytes") ?? 0) * GIB);
    const change = async () => {
      await got(client.PATCH("/v1/organizations/{id}", { ...path, body: { name: given(values, "name"), keep_days: days, keep_bytes: octets } }));
      tell(t("act.saved"));
      await queryClient.invalidateQueries();
    };
    const isShorter = days > 0 && (view.keep_days == null || days < view.keep_days);
    const isLess = octets > 0 && (view.keep_bytes == null || octets < view.keep_bytes);
    if (!isShorter && !isLess) return change();
    const means = [...(isShorter ? [t("organization.keep_means", { n: days })] : []), ...(isLess ? [t("organization.keep_bytes_means", { size: bytes(octets) })] : [])];
    ask({ title: t("organization.keep_days"), text: means.join(" "), button: t("act.save"), danger: true, act: change });
  };
  const capture = async (on: boolean) => {
    await got(client.PATCH("/v1/organizations/{id}", { ...path, body: { capture: on } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const writes = may("settings_write");
  const turn = view.capture ? "organization.capture_off" : "organization.capture_on";
  return (
    <div className="stack">
      <fieldset disabled={!writes}><Form key={`${view.name}${view.keep_days}${view.keep_bytes}`} fields={fields} button={t("act.save")} submit={save} /></fieldset>
      {writes && <div><Button look={view.capture ? undefined : "danger"} onClick={() => ask({ title: t(turn), text: t(`${turn}_means`, { name: view.name }), button: t(turn), danger: !view.capture, act: () => capture(!view.capture) })}>{t(turn)}</Button></div>}
      {question}
    </div>
  );
}

function Suspension({ view }: { view: View }) {
  const [open, setOpen] = useState(false);
  const [ask, question] = useQuestion();
  const resume = useResume(ask);
  return (
    <>
      {view.suspended_at ? <Button look="main" onClick={() => resume(view)}>{t("organizations.resume")}</Button> : <Button look="danger" onClick={() => setOpen(true)}>{t("organizations.suspend")}</Button>}
      {open && <Suspending of={view} close={() => setOpen(false)} />}
      {question}
    </>
  );
}

function Streams({ id }: { id: number }) {
  const { may } = useSession();
  const [holding, setHolding] = useState<Stream | null>(null);
  const [ruling, setRuling] = useState<Stream | null>(null);
  const [tracking, setTracking] = useState<Stream | null>(null);
  const queryClient = useQueryClient();
  // Of this organization, whichever is worked in.
  const header = { "postroad-organization": id };
  const streams = api.useQuery("get", "/v1/streams", { params: { header } });
  const path = (row: Stream) => ({ params: { path: { id: row.id }, header } });
  const [ask, question] = useQuestion();
  const held = (row: Stream) => waiting({ organization: id, stream: row.id });
  const release = async (row: Stream) => {
    await got(client.POST("/v1/streams/{id}/release", path(row)));
    tell(t("organizations.resumed"));
    await queryClient.invalidateQueries();
  };
  const goOn = (row: Stream) => ask({ title: t("streams.release"), text: <Concerned text={t("streams.release_text", { name: row.name })} of={["release", row.id]} count={async () => t("organizations.resume_concerns", { n: await held(row) })} />, button: t("streams.release"), act: () => release(row) });
  const writes = may("settings_write");
  const columns: Column<Stream>[] = [
    { title: t("streams.name"), cell: (row) => row.name },
    { title: t("streams.class"), cell: (row) => <Badge>{word("class_of", row.class)}</Badge>, text: (row) => row.class },
    { title: t("messages.state"), cell: (row) => (row.held_at ? <><Badge tone="warn">{word("state_of", "held")}</Badge> <When at={row.held_at} /><div className="sub">{row.held_reason}</div></> : <Badge tone="good">{t("organizations.active")}</Badge>), text: (row) => (row.held_at ? "held" : "active") },
    ...(may("suppressions_read") ? [{ title: t("streams.policy"), cell: (row: Stream) => <Button small onClick={() => setRuling(row)}>{t("streams.policy")}</Button>, text: () => "" }] : []),
    { title: t("tracking.title"), cell: (row) => <Button small aria-label={t("tracking.of", { name: row.name })} onClick={() => setTracking(row)}>{t("tracking.title")}</Button>, text: () => "" },
    ...(writes ? [{ title: t("list.actions"), cell: (row: Stream) => (row.held_at ? <Button small onClick={() => goOn(row)}>{t("streams.release")}</Button> : <Button small onClick={() => setHolding(row)}>{t("streams.hold")}</Button>), text: () => "" }] : []),
  ];
  return (
    <>
      <Shown of={streams} rows={2}>{({ items }) => <Table name={`organization-${id}-streams`} title={t("streams.title")} rows={items} columns={columns} id={(row) => row.id} empty={<Empty title={t("streams.empty")} />} />}</Shown>
      {ruling && <StreamPolicyDialog stream={ruling} close={() => setRuling(null)} />}
      {question}
      {tracking && <StreamTrackingDialog stream={tracking} close={() => setTracking(null)} />}
      {holding && <FormDialog close={() => setHolding(null)} title={t("streams.hold")} danger text={<Concerned text={t("streams.hold_text", { name: holding.name })} of={["hold", holding.id]} count={async () => t("streams.hold_concerns", { n: await held(holding) })} />} fields={[{ name: "reason", label: t("limits.reason"), required: true, hint: t("organizations.reason_hint") }]} button={t("streams.hold")} done={t("act.saved")} submit={async (values) => { await got(client.POST("/v1/streams/{id}/hold", { ...path(holding), body: { reason: given(values, "reason") ?? "" } })); }} />}
    </>
  );
}
