// Sources against operators, coloured by state; what rules decided; when all of it will be sent.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { Badge, Card, PageHead, type Tone } from "../../parts/basic";
import { Sheet } from "../../parts/sheet";
import { Empty, Shown } from "../../parts/state";
import { Tabs } from "../../parts/tabs";
import { HEALTH_TONES } from "../sources/page";
import { CellDetails } from "./cell";
import { Decisions } from "./decisions";
import { Forecast } from "./forecast";
import { Windows } from "./health";

type Warmup = Schemas["WarmupView"];
type Decision = Schemas["DecisionView"];
type Source = Schemas["SourceView"];

export interface Cell {
  source: Source;
  operator: string;
  warmup?: Warmup;
  decisions: Decision[];
  /** Limits that rules have set by themselves, decided of lately or long ago. */
  adaptive: Schemas["LimitView"][];
}

export function Page() {
  const tabs = [
    { name: "matrix", title: t("reach.matrix"), draw: () => <Matrix /> },
    { name: "decisions", title: t("decisions.title"), draw: () => <Decisions /> },
    { name: "rates", title: t("windows.title"), draw: () => <Windows /> },
    { name: "forecast", title: t("forecast.title"), draw: () => <Forecast /> },
  ];
  return (
    <>
      <PageHead title={t("reach.title")} text={t("reach.text")} />
      <Tabs label={t("reach.title")} tabs={tabs} />
    </>
  );
}

/** Whether what a decision or limit says it is about covers this cell. */
export function covers(from: string, to: string, source: Source, operator: string): boolean {
  const isFrom = ["installation", "each_source", `source:${source.id}`, `source:${source.name}`].includes(from) || from.startsWith("pool:");
  return isFrom && ["anywhere", "each_site", `operator:${operator}`].includes(to);
}

function useMatrix() {
  return useQuery({
    queryKey: ["matrix"],
    refetchInterval: 10_000,
    queryFn: async () => {
      const [sources, warmups, decisions, limits] = await Promise.all([got(client.GET("/v1/sources")), got(client.GET("/v1/warmups")), got(client.GET("/v1/decisions", { params: { query: { active: true } } })), got(client.GET("/v1/limits", { params: { query: { origin: "adaptive" } } }))]);
      const named = [...decisions.items, ...limits.items].map((one) => /^operator:(.+)$/.exec(one.to)?.[1]).filter((name): name is string => name !== undefined);
      const operators = [...new Set([...warmups.items.map((one) => one.operator), ...named])].sort();
      const cells = sources.items.map((source) => operators.map((operator): Cell => ({
        source, operator,
        warmup: warmups.items.find((one) => one.source === source.id && one.operator === operator),
        decisions: decisions.items.filter((one) => one.to === `operator:${operator}` && covers(one.from, one.to, source, operator)),
        adaptive: limits.items.filter((one) => one.to === `operator:${operator}` && one.for === "everybody" && covers(one.from, one.to, source, operator)),
      })));
      return { operators, sources: sources.items, cells };
    },
  });
}

function stateOf(cell: Cell): [Tone, string] {
  if (cell.decisions.some((one) => ["block", "warmup_freeze"].includes(one.rule)) || cell.warmup?.state === "frozen") return ["bad", t("reach.blocked")];
  if (cell.adaptive.some((one) => one.value === 0)) return ["bad", t("reach.blocked")];
  if (cell.adaptive.length > 0 || cell.decisions.some((one) => !one.rule.startsWith("warmup_day"))) return ["warn", t("reach.slowed")];
  if (cell.warmup?.state === "running") return ["info", t("reach.warming")];
  if (cell.warmup?.state === "paused") return ["warn", t("reach.paused")];
  if (cell.warmup?.state === "finished") return ["good", t("reach.warm")];
  return ["plain", t("reach.unlimited")];
}

/** A line for each cell. */
function sheetOf({ cells }: { cells: Cell[][] }): string[][] {
  const heads = [t("lanes.source"), t("classification.operator"), t("messages.state"), t("warmups.day"), t("warmups.today"), t("warmups.planned"), t("limits.title")];
  const line = (cell: Cell) => {
    const { warmup } = cell;
    const limits = cell.adaptive.map((one) => `${word("metric_of", one.metric)}: ${one.value}`).join("; ");
    return [cell.source.name, cell.operator, stateOf(cell)[1], ...[warmup?.day, warmup?.offered_today, warmup?.budget].map((count) => String(count ?? "")), limits];
  };
  return [heads, ...cells.flat().map(line)];
}

function Matrix() {
  const matrix = useMatrix();
  const [open, setOpen] = useState<Cell | null>(null);
  const all = matrix.data;
  const isEmpty = all === undefined || all.sources.length === 0 || all.operators.length === 0;
  return (
    <>
      <Card bare title={t("reach.matrix")} actions={!isEmpty && <Sheet name="deliverability" title={t("reach.matrix")} rows={() => sheetOf(all)} />}>
        <Shown of={matrix}>
          {({ operators, sources, cells }) => sources.length === 0 || operators.length === 0 ? (
            <Empty title={t("reach.empty")} text={t("reach.empty_text")}><Link to="/sources" search={{}} className="button">{t("sources.title")}</Link><Link to="/warmups" search={{}} className="button">{t("warmups.title")}</Link></Empty>
          ) : (
            // biome-ignore lint: what scrolls must be reachable by keyboard
            <div className="table-frame" tabIndex={0} role="group" aria-label={t("reach.matrix")}>
              <table className="matrix">
                <thead><tr><th scope="col">{t("lanes.source")}</th>{operators.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
                <tbody>
                  {cells.map((row) => row[0] && (
                    <tr key={row[0].source.id}>
                      <th scope="row">{row[0].source.name} <Badge tone={HEALTH_TONES[row[0].source.health?.state ?? "unknown"]}>{word("health", row[0].source.health?.state ?? "unknown")}</Badge></th>
                      {row.map((cell) => <td key={cell.operator}><CellButton cell={cell} open={() => setOpen(cell)} /></td>)}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Shown>
      </Card>
      {open && <CellDetails cell={open} close={() => setOpen(null)} />}
    </>
  );
}

function CellButton({ cell, open }: { cell: Cell; open: () => void }) {
  const [tone, text] = stateOf(cell);
  const { warmup } = cell;
  return (
    <button type="button" className={`cell ${tone}`} onClick={open}>
      <span className="unseen">{t("reach.cell", { source: cell.source.name, operator: cell.operator })}</span>
      <strong>{text}</strong>
      {warmup && <span>{t("warmups.day_of", { day: warmup.day, days: warmup.days })}</span>}
      {cell.adaptive.slice(0, 2).map((one) => <span key={one.id}>{word("metric_of", one.metric)}: {one.value.toLocaleString()}</span>)}
      {warmup?.budget != null && <span>{warmup.offered_today.toLocaleString()} / {warmup.budget.toLocaleString()}</span>}
    </button>
  );
}
