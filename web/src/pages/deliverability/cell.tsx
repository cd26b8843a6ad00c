// What holds between one source and one operator: limits with who set them, warm-up, decisions.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, client, got, type Schemas } from "../../api/client";
import { distinct } from "../../lib/replies";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, When } from "../../parts/basic";
import { Chart } from "../../parts/chart";
import { Dialog } from "../../parts/dialog";
import { Empty, Shown } from "../../parts/state";
import { Gates } from "../warmups/gates";
import { points } from "../warmups/one";
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
  const { may } = useSession();
  return (
    <Dialog open close={close} broad title={`${cell.source.name} → ${cell.operator}`}>
      {warmup && <Warming warmup={warmup} />}
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
      {may("messages_read") && <Replies cell={cell} />}
      <section className="stack tight">
        <h3>{t("decisions.title")}</h3>
        {cell.decisions.length === 0 ? <p className="faint">{t("decisions.empty")}</p> : cell.decisions.map((one) => <DecisionItem key={one.id} decision={one} />)}
      </section>
    </Dialog>
  );
}

function Warming({ warmup }: { warmup: NonNullable<Cell["warmup"]> }) {
  const story = api.useQuery("get", "/v1/warmups/{id}", { params: { path: { id: warmup.id } } });
  return (
    <section className="stack tight">
      <div className="head"><h3>{t("warmups.title")}</h3><Link to="/warmups/$id" params={{ id: String(warmup.id) }} className="button small">{t("reach.open")}</Link></div>
      <div className="row"><Badge tone={WARMUP_TONES[warmup.state]}>{word("warmup_state", warmup.state)}</Badge>{t("warmups.day_of", { day: warmup.day, days: warmup.days })} {warmup.note}</div>
      <Shown of={story} rows={4}>
        {(data) => (
          <>
            <Chart points={points(data)} label={t("warmups.chart")} plan={t("warmups.planned")} done={t("warmups.sent")} />
            <h4>{t("gates.title")}</h4>
            <Gates story={data} />
          </>
        )}
      </Shown>
    </section>
  );
}

/** What its hosts said last to mail from this source, and what rules have acted upon. */
function Replies({ cell }: { cell: Cell }) {
  const mails = api.useQuery("get", "/v1/messages", { params: { query: { operator: cell.operator, source: cell.source.name, limit: 200 } } });
  const acted = cell.decisions.flatMap((one) => one.samples.map((text) => ({ text, at: one.at })));
  return (
    <section className="stack tight">
      <h3>{t("reach.replies")}</h3>
      <Shown of={mails} rows={3}>
        {({ items }) => {
          const replies = distinct([...items.map((row) => ({ text: row.text, at: row.accepted_at })), ...acted]);
          if (replies.length === 0) return <p className="faint">{t("reach.no_replies")}</p>;
          return <ul className="steps">{replies.map((reply) => <li key={reply.text}><code className="text break">{reply.text}</code><span className="faint">{t("reach.times", { n: reply.count })}</span><When at={reply.at} /></li>)}</ul>;
        }}
      </Shown>
    </section>
  );
}
