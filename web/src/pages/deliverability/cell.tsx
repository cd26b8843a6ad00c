// What holds between one source and one operator: limits with who set them, warm-up, decisions.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { Badge, Pairs } from "../../parts/basic";
import { Chart } from "../../parts/chart";
import { Dialog } from "../../parts/dialog";
import { Empty, Shown } from "../../parts/state";
import { WARMUP_TONES } from "../warmups/page";
import { DecisionItem } from "./decisions";
import { type Cell, covers } from "./page";

const PAGES_MAX = 20;

/** All limits that cover the cell; the smallest of them wins. */
async function limitsOf(cell: Cell): Promise<Schemas["LimitView"][]> {
  const found: Schemas["LimitView"][] = [];
  let cursor: number | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { items, next } = await got(client.GET("/v1/limits", { params: { query: { cursor } } }));
    found.push(...items.filter((one) => covers(one.from, one.to, cell.source, cell.operator)));
    if (!next) break;
    cursor = Number(next);
  }
  return found;
}

export function CellDetails({ cell, close }: { cell: Cell; close: () => void }) {
  const limits = useQuery({ queryKey: ["cell limits", cell.source.id, cell.operator], queryFn: () => limitsOf(cell) });
  const { warmup } = cell;
  const replies = [...new Set(cell.decisions.flatMap((one) => one.samples))];
  return (
    <Dialog open close={close} broad title={`${cell.source.name} → ${cell.operator}`}>
      {warmup && (
        <section className="stack tight">
          <div className="head"><h3>{t("warmups.title")}</h3><Link to="/warmups/$id" params={{ id: String(warmup.id) }} className="button small">{t("reach.open")}</Link></div>
          <div className="row"><Badge tone={WARMUP_TONES[warmup.state]}>{word("warmup_state", warmup.state)}</Badge>{t("warmups.day_of", { day: warmup.day, days: warmup.days })} {warmup.note}</div>
          <Chart points={warmup.calendar.slice(0, 30).map((plan, at) => ({ name: String(at + warmup.day), plan, done: at === 0 ? warmup.offered_today : undefined }))} label={t("warmups.chart")} plan={t("warmups.planned")} done={t("warmups.sent")} />
        </section>
      )}
      <section className="stack tight">
        <h3>{t("limits.title")}</h3>
        <Shown of={limits} rows={2}>
          {(all) => all.length === 0 ? <Empty title={t("limits.empty")} /> : (
            <ul className="steps">
              {all.map((one) => <li key={one.id}><strong>{one.value.toLocaleString()} {word("metric_of", one.metric)}</strong><span className="text break">{one.from} → {one.to}<br /><span className="faint">{one.reason}</span></span><Badge>{word("origin_of", one.origin)}</Badge></li>)}
            </ul>
          )}
        </Shown>
      </section>
      {replies.length > 0 && (
        <section className="stack tight">
          <h3>{t("reach.replies")}</h3>
          <Pairs of={replies.map((reply, at): [string, React.ReactNode] => [String(at + 1), <code key={reply}>{reply}</code>])} />
        </section>
      )}
      <section className="stack tight">
        <h3>{t("decisions.title")}</h3>
        {cell.decisions.length === 0 ? <p className="faint">{t("decisions.empty")}</p> : cell.decisions.map((one) => <DecisionItem key={one.id} decision={one} />)}
      </section>
    </Dialog>
  );
}
