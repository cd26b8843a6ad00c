// What became of a campaign: delivered and read over time, by operator and source, link by link.
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { byOperator, clickMap, type Report, type Stretch, stretches, totals } from "../../lib/report";
import { useSession } from "../../lib/session";
import { spoken, t, word } from "../../lib/text";
import { toDate } from "../../lib/time";
import { Badge, Button, Card, Notice, PageHead, When } from "../../parts/basic";
import type { Column } from "../../parts/list";
import { Series } from "../../parts/series";
import { Sheet } from "../../parts/sheet";
import { Empty, Shown } from "../../parts/state";
import { Table } from "../../parts/table";
import { operatorName } from "../../parts/words";
import { MailFrame } from "../../parts/frame";
import { Countries } from "./countries";
import { CAMPAIGN_TONES, type Campaign } from "./page";
import { Figure, percent } from "./figure";
import { Sums } from "./sums";

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  const path = { params: { path: { id: Number(id) } } };
  const campaign = api.useQuery("get", "/v1/campaigns/{id}", path, { refetchInterval: 5_000 });
  const report = api.useQuery("get", "/v1/campaigns/{id}/report", path, { refetchInterval: 5_000 });
  return <Shown of={campaign}>{(of) => <Shown of={report}>{(data) => <Drawn campaign={of} report={data} />}</Shown>}</Shown>;
}

function Drawn({ campaign, report }: { campaign: Campaign; report: Report }) {
  const id = String(campaign.id);
  return (
    <>
      <PageHead title={t("report.of", { name: campaign.name })} text={campaign.content.variants[0]?.subject}>
        <Badge tone={CAMPAIGN_TONES[campaign.state]}>{word("campaign_state", campaign.state)}</Badge>
        <Link to="/campaigns/$id" params={{ id }} search={{}} className="button">{t("campaign.title")}</Link>
        <Link to="/campaigns/$id/recipients" params={{ id }} search={{}} className="button">{t("recipients.title")}</Link>
        <Link to="/campaigns/compare" search={{ ids: id }} className="button">{t("compare.begin")}</Link>
      </PageHead>
      {campaign.audience === null || campaign.audience === undefined ? <Card><Empty title={t("report.not_yet")} text={t("report.not_yet_text")} /></Card> : <Whole campaign={campaign} report={report} />}
    </>
  );
}

function Whole({ campaign, report }: { campaign: Campaign; report: Report }) {
  const sums = totals(report);
  const audience = campaign.audience ?? 0;
  return (
    <>
      <div className="figures">
        <Figure name={t("campaigns.audience")} value={audience} />
        <Figure name={word("sums", "delivered")} value={report.sums.delivered} under={t("report.of_audience", { share: percent(report.sums.delivered, audience) })} />
        <Figure name={t("report.opened")} value={sums.opened} under={t("report.of_delivered", { share: percent(sums.opened, sums.delivered) })} />
        <Figure name={t("report.clicked")} value={sums.clicked} under={t("report.of_delivered", { share: percent(sums.clicked, sums.delivered) })} />
        <Figure name={t("report.unsubscribed")} value={sums.unsubscribed} under={t("report.of_delivered", { share: percent(sums.unsubscribed, sums.delivered) })} />
        <Figure name={t("report.complained")} value={sums.complained} under={t("report.of_delivered", { share: percent(sums.complained, sums.delivered) })} />
        <Figure name={t("report.bounced")} value={sums.bounced} under={t("report.of_audience", { share: percent(sums.bounced, audience) })} />
      </div>
      <Card title={t("campaigns.progress")}><Sums sums={report.sums} /></Card>
      <OverTime report={report} id={campaign.id} />
      <Waiting campaign={campaign} report={report} />
      {report.variants.length > 1 && <Variants campaign={campaign} report={report} />}
      <Operators report={report} id={campaign.id} />
      <Links report={report} id={campaign.id} />
      <Devices report={report} id={campaign.id} />
      <Countries campaign={campaign} report={report} />
      <ClickMap campaign={campaign} report={report} />
      <Refused report={report} id={campaign.id} />
      <Notice>{t("report.machines", { proxies: report.machines.opens_by_proxies, robots: report.machines.opens_by_robots, clicks: report.machines.clicks_by_robots })}</Notice>
    </>
  );
}

function nameOf({ at, isDay }: Stretch): string {
  const how: Intl.DateTimeFormatOptions = isDay ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" };
  return toDate(at).toLocaleString(spoken(), how);
}

function sheetOf(all: Stretch[]): string[][] {
  const counts: (keyof Stretch["counts"])[] = ["delivered", "deferred", "failed", "opens", "clicks", "unsubscribed", "complained"];
  return [[t("audit.when"), ...counts], ...all.map((one) => [toDate(one.at).toISOString(), ...counts.map((name) => String(one.counts[name]))])];
}

function OverTime({ report, id }: { report: Report; id: number }) {
  const all = stretches(report.hours);
  if (all.length === 0) return <Card title={t("report.over_time")}><Empty title={t("report.nothing_yet")} text={t("report.nothing_yet_text")} /></Card>;
  const names = all.map(nameOf);
  const values = (name: keyof Stretch["counts"]) => all.map((one) => one.counts[name]);
  return (
    <div className="grid wide">
      <Card title={t("report.over_time")} actions={<Sheet name={`campaign-${id}-over-time`} title={t("report.over_time")} rows={() => sheetOf(all)} />}>
        <Series label={t("report.over_time")} names={names} series={[
          { name: word("event_of", "delivered"), colour: "good", values: values("delivered") },
          { name: word("event_of", "deferred"), colour: "warn", values: values("deferred") },
          { name: word("event_of", "failed"), colour: "bad", values: values("failed") },
        ]} />
      </Card>
      <Card title={t("report.read")}>
        <Series label={t("report.read")} names={names} series={[
          { name: t("report.opens"), colour: "info", line: true, values: values("opens") },
          { name: t("report.clicks"), colour: "accent", line: true, values: values("clicks") },
          { name: t("report.unsubscribed"), colour: "bad", line: true, values: values("unsubscribed") },
        ]} />
      </Card>
    </div>
  );
}

/** What is not through yet: why, and until when. */
function Waiting({ campaign, report }: { campaign: Campaign; report: Report }) {
  const { may } = useSession();
  const open = report.sums.waiting + report.sums.held;
  const why = useQuery({
    queryKey: ["why campaign", campaign.id],
    enabled: may("messages_read") && open > 0,
    refetchInterval: 5_000,
    queryFn: () => got(client.GET("/v1/why", { params: { query: { campaign: campaign.id } } })),
  });
  if (open + report.sums.planned === 0) return null;
  type Row = Report["deferred_now"][number];
  const columns: Column<Row>[] = [
    { title: t("messages.answer"), cell: (row) => <span className="break">{row.text || t("report.no_answer")}</span>, text: (row) => row.text },
    { title: t("progress.operator"), cell: (row) => operatorName(row.operator) },
    { title: t("queue.count"), cell: (row) => row.count.toLocaleString(), text: (row) => String(row.count), number: true },
    { title: t("queue.due"), cell: (row) => <When at={row.due_at} />, text: (row) => toDate(row.due_at).toISOString() },
  ];
  return (
    <>
      <Table name={`campaign-${campaign.id}-deferred`} title={t("report.deferred_now")} rows={report.deferred_now} columns={columns} id={(row) => `${row.operator}${row.text}`} empty={<Empty title={t("report.none_deferred")} text={t("report.none_deferred_text")} />} />
      {why.data && why.data.reasons.length > 0 && (
        <Card title={t("queue.why")}>
          <ul className="steps">
            {why.data.reasons.map(({ deliveries, reason }) => (
              <li key={reason.kind + reason.text + reason.limit}>
                <strong>{deliveries.toLocaleString()}</strong>
                <span className="text break">{reason.text}</span>
                <Badge>{word("reason_of", reason.kind)}</Badge>
                {reason.until && <span className="faint">{t("report.until")} <When at={reason.until} /></span>}
              </li>
            ))}
          </ul>
        </Card>
      )}
    </>
  );
}

function Variants({ campaign, report }: { campaign: Campaign; report: Report }) {
  type Row = Report["variants"][number];
  const subject = (row: Row) => campaign.content.variants[row.variant]?.subject ?? "";
  const rate = (title: string, of: (row: Row) => number): Column<Row> => ({ title, cell: (row) => `${of(row).toLocaleString()} · ${percent(of(row), row.delivered)}`, text: (row) => String(of(row)), number: true });
  const columns: Column<Row>[] = [
    { title: t("campaign.variant"), cell: (row) => <>{String.fromCharCode(65 + row.variant)}: {subject(row)} {campaign.winner === row.variant && <Badge tone="good">{t("report.won")}</Badge>}</>, text: subject },
    { title: word("sums", "delivered"), cell: (row) => row.delivered.toLocaleString(), text: (row) => String(row.delivered), number: true },
    rate(t("report.opened"), (row) => row.opened),
    rate(t("report.clicked"), (row) => row.clicked),
    rate(t("report.unsubscribed"), (row) => row.unsubscribed),
    rate(t("report.complained"), (row) => row.complained),
  ];
  return <Table name={`campaign-${campaign.id}-variants`} title={t("campaign.variants")} rows={report.variants} columns={columns} id={(row) => row.variant} empty={null} />;
}

function Operators({ report, id }: { report: Report; id: number }) {
  const rows = byOperator(report);
  type Row = (typeof rows)[number];
  const columns: Column<Row>[] = [
    { title: t("progress.operator"), cell: (row) => operatorName(row.operator) },
    { title: t("lanes.source"), cell: (row) => row.source || "–" },
    { title: word("sums", "delivered"), cell: (row) => row.delivered.toLocaleString(), text: (row) => String(row.delivered), number: true },
    { title: t("report.refused"), cell: (row) => row.refused.toLocaleString(), text: (row) => String(row.refused), number: true },
    { title: t("report.share_taken"), cell: (row) => <Share part={row.delivered} of={row.delivered + row.refused} />, text: (row) => percent(row.delivered, row.delivered + row.refused) },
  ];
  return <Table name={`campaign-${id}-operators`} title={t("report.by_operator")} rows={rows} columns={columns} id={(row) => `${row.operator}/${row.source}`} empty={<Empty title={t("report.nothing_yet")} text={t("report.nothing_yet_text")} />} />;
}

function Share({ part, of }: { part: number; of: number }) {
  return (
    <div className="row" style={{ flexWrap: "nowrap", minWidth: "9rem" }}>
      <div className="bar" style={{ flex: 1 }} aria-hidden="true"><i className="good" style={{ width: `${of === 0 ? 0 : (part / of) * 100}%` }} /></div>
      <span>{percent(part, of)}</span>
    </div>
  );
}

function Links({ report, id }: { report: Report; id: number }) {
  type Row = Report["links"][number];
  const all = report.links.reduce((sum, row) => sum + row.clicks, 0);
  const columns: Column<Row>[] = [
    { title: t("report.link"), cell: (row) => <span className="break">{row.target}</span>, text: (row) => row.target },
    { title: t("report.place"), cell: (row) => row.place + 1, number: true },
    ...(report.variants.length > 1 ? [{ title: t("campaign.variant"), cell: (row: Row) => String.fromCharCode(65 + row.variant) }] : []),
    { title: t("report.clicks"), cell: (row) => row.clicks.toLocaleString(), text: (row) => String(row.clicks), number: true },
    { title: t("report.share"), cell: (row) => <Share part={row.clicks} of={all} />, text: (row) => percent(row.clicks, all) },
  ];
  return <Table name={`campaign-${id}-links`} title={t("report.by_link")} rows={report.links} columns={columns} id={(row) => `${row.variant}.${row.place}.${row.target}`} empty={<Empty title={t("report.no_clicks")} text={t("report.no_clicks_text")} />} />;
}

/** Kinds of devices, mail programs and systems, each in a table of its own. */
function Devices({ report, id }: { report: Report; id: number }) {
  const of = (name: string, title: string, of: string, rows: Part[]) => <Split key={name} name={`campaign-${id}-${name}`} title={title} of={of} rows={rows} />;
  return (
    <>
      {of("devices", t("report.devices"), t("report.device"), (report.devices ?? []).map((row) => ({ ...row, detail: row.device })))}
      {of("clients", t("report.clients"), t("report.client"), (report.clients ?? []).map((row) => ({ ...row, detail: row.client })))}
      {of("systems", t("report.systems"), t("report.system"), (report.systems ?? []).map((row) => ({ ...row, detail: row.system })))}
    </>
  );
}

type Part = { detail: string; opens: number; clicks: number };

function Split({ name, title, of, rows }: { name: string; title: string; of: string; rows: Part[] }) {
  if (rows.length === 0) return null;
  const all = rows.reduce((sum, row) => sum + row.opens, 0);
  const columns: Column<Part>[] = [
    { title: of, cell: (row) => word("device", row.detail), text: (row) => row.detail },
    { title: t("report.opens"), cell: (row) => row.opens.toLocaleString(), text: (row) => String(row.opens), number: true },
    { title: t("report.share"), cell: (row) => <Share part={row.opens} of={all} />, text: (row) => percent(row.opens, all) },
    { title: t("report.clicks"), cell: (row) => row.clicks.toLocaleString(), text: (row) => String(row.clicks), number: true },
  ];
  return <Table name={name} title={title} rows={rows} columns={columns} id={(row) => row.detail} empty={null} />;
}

/** The mail itself, each link with what it was clicked. */
function ClickMap({ campaign, report }: { campaign: Campaign; report: Report }) {
  const { may } = useSession();
  const [open, setOpen] = useState(false);
  const [variant, setVariant] = useState(0);
  const contacts = api.useQuery("get", "/v1/contacts", { params: { query: { limit: 1 } } }, { enabled: open && may("contacts_read") });
  const contact = contacts.data?.items[0]?.id;
  const preview = useQuery({ queryKey: ["campaign preview", campaign.id, contact, variant, campaign.revision], enabled: contact !== undefined, queryFn: () => got(client.POST("/v1/campaigns/{id}/preview", { params: { path: { id: campaign.id } }, body: { contact: contact ?? 0, variant } })) });
  if (!may("contacts_read") || report.links.length === 0) return null;
  const clicks = new Map<number, number>();
  for (const link of report.links) if (link.variant === variant) clicks.set(link.place, (clicks.get(link.place) ?? 0) + link.clicks);
  const sign = (count: number, share: number) => `${count.toLocaleString(spoken())} · ${percent(share, 1)}`;
  return (
    <Card title={t("report.click_map")} actions={<Button small aria-expanded={open} onClick={() => setOpen(!open)}>{open ? t("report.hide") : t("report.show")}</Button>}>
      {!open ? <p className="faint">{t("report.click_map_text")}</p> : (
        <div className="stack">
          {campaign.content.variants.length > 1 && (
            <label className="row">{t("campaign.variant")}
              <select style={{ width: "auto" }} value={variant} onChange={(event) => setVariant(Number(event.target.value))}>
                {campaign.content.variants.map((one, at) => <option key={one.subject} value={at}>{one.subject}</option>)}
              </select>
            </label>
          )}
          {contacts.data && contact === undefined ? <Empty title={t("template.no_contact")} text={t("template.no_contact_text")} /> : (
            <Shown of={preview}>{(data: Schemas["CampaignPreview"]) => <MailFrame html={clickMap(data.html, clicks, sign)} title={t("report.click_map")} />}</Shown>
          )}
        </div>
      )}
    </Card>
  );
}

function Refused({ report, id }: { report: Report; id: number }) {
  type Row = Report["bounced"][number];
  const columns: Column<Row>[] = [
    { title: t("report.why"), cell: (row) => word("reply_class", row.class), text: (row) => row.class },
    { title: t("report.when_refused"), cell: (row) => <Badge tone="bad">{word("event_of", row.kind)}</Badge>, text: (row) => row.kind },
    { title: t("progress.operator"), cell: (row) => operatorName(row.operator) },
    { title: t("lanes.source"), cell: (row) => row.source || "–" },
    { title: t("queue.count"), cell: (row) => row.count.toLocaleString(), text: (row) => String(row.count), number: true },
  ];
  const rows = [...report.bounced].sort((a, b) => b.count - a.count);
  return <Table name={`campaign-${id}-refused`} title={t("report.refused_why")} rows={rows} columns={columns} id={(row) => [row.kind, row.class, row.operator, row.source].join("/")} empty={<Empty title={t("report.none_refused")} text={t("report.none_refused_text")} />} />;
}
