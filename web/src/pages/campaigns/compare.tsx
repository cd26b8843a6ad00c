// Campaigns side by side: what was delivered, read and refused of each.
import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { client, got } from "../../api/client";
import { type Report, totals } from "../../lib/report";
import { t, word } from "../../lib/text";
import { Badge, Card, PageHead, When } from "../../parts/basic";
import { useFilters } from "../../parts/filters";
import type { Column } from "../../parts/list";
import { Empty, Failed, Loading, Shown } from "../../parts/state";
import { Table } from "../../parts/table";
import { percent } from "./figure";
import { CAMPAIGN_TONES, type Campaign } from "./page";

const MOST = 8;

interface Row {
  campaign: Campaign;
  report: Report;
}

function chosenOf(text: string | undefined): number[] {
  const ids = (text ?? "").split(",").map(Number).filter((id) => Number.isInteger(id) && id > 0);
  return [...new Set(ids)].slice(0, MOST);
}

async function load(id: number): Promise<Row> {
  const path = { params: { path: { id } } };
  const [campaign, report] = await Promise.all([got(client.GET("/v1/campaigns/{id}", path)), got(client.GET("/v1/campaigns/{id}/report", path))]);
  return { campaign, report };
}

export function Page() {
  const { values, set } = useFilters();
  const ids = chosenOf(values.ids);
  const rows = useQueries({ queries: ids.map((id) => ({ queryKey: ["compare", id], queryFn: () => load(id) })) });
  const failed = rows.find((row) => row.error);
  const there = rows.flatMap((row) => (row.data ? [row.data] : []));
  const turn = (id: number) => set({ ids: (ids.includes(id) ? ids.filter((one) => one !== id) : [...ids, id]).join(",") || undefined });
  return (
    <>
      <PageHead title={t("compare.title")} text={t("compare.text", { n: MOST })} />
      <Choice ids={ids} turn={turn} />
      {failed && <Card><Failed error={failed.error} again={() => void failed.refetch()} /></Card>}
      {rows.some((row) => row.isPending) ? <Card><Loading rows={3} /></Card> : <Compared rows={there} />}
    </>
  );
}

function Choice({ ids, turn }: { ids: number[]; turn: (id: number) => void }) {
  const known = useQuery({ queryKey: ["campaigns to compare"], queryFn: () => got(client.GET("/v1/campaigns")) });
  return (
    <Card title={t("campaigns.title")}>
      <Shown of={known} rows={2}>
        {({ items }) => {
          const launched = items.filter((one) => one.audience !== null && one.audience !== undefined);
          if (launched.length === 0) return <Empty title={t("compare.none")} text={t("compare.none_text")} />;
          return (
            <fieldset className="checks" aria-label={t("compare.choose")}>
              {launched.map((one) => (
                <label key={one.id} className="check">
                  <input type="checkbox" checked={ids.includes(one.id)} disabled={!ids.includes(one.id) && ids.length >= MOST} onChange={() => turn(one.id)} />
                  <span>{one.name} <span className="faint"><When at={one.launched_at} /></span></span>
                </label>
              ))}
            </fieldset>
          );
        }}
      </Shown>
    </Card>
  );
}

function Compared({ rows }: { rows: Row[] }) {
  const best = (of: (row: Row) => number) => Math.max(...rows.map(of));
  const rate = (title: string, of: (row: Row) => number, whole: (row: Row) => number, good: boolean): Column<Row> => {
    const share = (row: Row) => (whole(row) === 0 ? 0 : of(row) / whole(row));
    const isBest = (row: Row) => good && rows.length > 1 && share(row) > 0 && share(row) === best(share);
    return {
      title,
      cell: (row) => <><span className="nowrap">{percent(of(row), whole(row))} {isBest(row) && <Badge tone="good">{t("compare.best")}</Badge>}</span><div className="sub">{of(row).toLocaleString()}</div></>,
      text: (row) => String(of(row)),
      number: true,
    };
  };
  const sums = (name: keyof ReturnType<typeof totals>) => (row: Row) => totals(row.report)[name];
  const delivered = sums("delivered");
  const audience = (row: Row) => row.campaign.audience ?? 0;
  const columns: Column<Row>[] = [
    { title: t("campaigns.name"), cell: ({ campaign }) => <><Link to="/campaigns/$id/report" params={{ id: String(campaign.id) }} search={{}}>{campaign.name}</Link> <Badge tone={CAMPAIGN_TONES[campaign.state]}>{word("campaign_state", campaign.state)}</Badge><div className="sub">{campaign.content.variants[0]?.subject}</div></>, text: (row) => row.campaign.name },
    { title: t("campaigns.begun"), cell: (row) => <When at={row.campaign.launched_at} />, text: (row) => (row.campaign.launched_at ? new Date(row.campaign.launched_at / 1000).toISOString() : "") },
    { title: t("campaigns.audience"), cell: (row) => audience(row).toLocaleString(), text: (row) => String(audience(row)), number: true },
    rate(word("sums", "delivered"), (row) => row.report.sums.delivered, audience, true),
    rate(t("report.opened"), sums("opened"), delivered, true),
    rate(t("report.clicked"), sums("clicked"), delivered, true),
    rate(t("report.unsubscribed"), sums("unsubscribed"), delivered, false),
    rate(t("report.complained"), sums("complained"), delivered, false),
    rate(t("report.bounced"), sums("bounced"), audience, false),
  ];
  return <Table name="campaigns-compared" title={t("compare.table")} rows={rows} columns={columns} id={(row) => row.campaign.id} empty={<Empty title={t("compare.nothing")} text={t("compare.nothing_text")} />} />;
}
