// Where people opened and clicked: a map beside a table of the same numbers.
import { lazy, Suspense, useState } from "react";
import { type Measure, type Report, shade } from "../../lib/report";
import { spoken, t } from "../../lib/text";
import { Card } from "../../parts/basic";
import type { Column } from "../../parts/list";
import { Empty, Loading } from "../../parts/state";
import { Table } from "../../parts/table";
import { percent } from "./figure";
import type { Campaign } from "./page";

const World = lazy(() => import("./world").then((module) => ({ default: module.World })));

type Row = NonNullable<Report["countries"]>[number];

const MEASURES: Measure[] = ["opens", "clicks"];
const NAMES = { opens: "report.opens", clicks: "report.clicks" } as const;
const SHADES = [1, 2, 3, 4, 5];

/** As the person's own language calls it; the code itself where it has no name. */
function nameOf(code: string): string {
  try {
    return new Intl.DisplayNames([spoken()], { type: "region" }).of(code) ?? code;
  } catch {
    return code;
  }
}

export function Countries({ campaign, report }: { campaign: Campaign; report: Report }) {
  const rows = report.countries ?? [];
  const [measure, setMeasure] = useState<Measure>("opens");
  if (rows.length === 0) return <Card title={t("countries.title")}><None campaign={campaign} /></Card>;
  const sorted = [...rows].sort((a, b) => b[measure] - a[measure]);
  const most = sorted[0]?.[measure] ?? 0;
  const told = (row: Row) => `${nameOf(row.country)}: ${t("countries.told", { opens: row.opens, clicks: row.clicks })}`;
  const places = new Map(rows.map((row) => [row.country, { shade: shade(row[measure], most), text: told(row) }]));
  const choice = (
    <label className="row">{t("countries.by")}
      <select style={{ width: "auto" }} value={measure} onChange={(event) => setMeasure(MEASURES.find((one) => one === event.target.value) ?? "opens")}>
        {MEASURES.map((one) => <option key={one} value={one}>{t(NAMES[one])}</option>)}
      </select>
    </label>
  );
  return (
    <div className="grid wide">
      <Card title={t("countries.title")} actions={choice}>
        <figure className="stack tight">
          <Suspense fallback={<Loading rows={6} />}><World places={places} label={t("countries.map", { n: rows.length })} /></Suspense>
          <figcaption className="row faint"><span>0</span><span className="shades" aria-hidden="true">{[0, ...SHADES].map((at) => <i key={at} className={`shade-${at}`} />)}</span><span>{most.toLocaleString(spoken())}</span></figcaption>
        </figure>
      </Card>
      <Listed rows={sorted} id={campaign.id} />
    </div>
  );
}

function Listed({ rows, id }: { rows: Row[]; id: number }) {
  const sums = { opens: 0, clicks: 0 };
  for (const row of rows) for (const one of MEASURES) sums[one] += row[one];
  const count = (measure: Measure): Column<Row> => ({ title: t(NAMES[measure]), cell: (row) => <>{row[measure].toLocaleString(spoken())} <span className="faint">· {percent(row[measure], sums[measure])}</span></>, text: (row) => String(row[measure]), number: true });
  const columns: Column<Row>[] = [{ title: t("countries.country"), cell: (row) => nameOf(row.country), text: (row) => row.country }, count("opens"), count("clicks")];
  return <Table tall name={`campaign-${id}-countries`} title={t("countries.listed")} rows={rows} columns={columns} id={(row) => row.country} empty={null} />;
}

/** Why there is none: nobody is to be known, or nobody said how countries are told. */
function None({ campaign }: { campaign: Campaign }) {
  if (campaign.settings.tracking?.anonymous) return <Empty title={t("countries.none")} text={t("countries.anonymous")} />;
  return <Empty title={t("countries.none")} text={t("countries.how")} />;
}
