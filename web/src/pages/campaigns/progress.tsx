// Live: how far a campaign is at each operator.
import { api, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { toDate } from "../../lib/time";
import { When } from "../../parts/basic";
import type { Column } from "../../parts/list";
import { Empty, Shown } from "../../parts/state";
import { Table } from "../../parts/table";
import { operatorName } from "../../parts/words";

type Row = Schemas["OperatorProgress"];

const OVER = ["sent", "cancelled"];
const EVERY_MS = 2_000;

function Bar({ row }: { row: Row }) {
  const all = row.delivered + row.failed + row.waiting + row.held;
  const share = (part: number) => `${all === 0 ? 0 : (part / all) * 100}%`;
  const done = all === 0 ? 0 : Math.floor(((row.delivered + row.failed) / all) * 100);
  return (
    <div className="bar" style={{ minWidth: "7rem" }} role="progressbar" aria-label={t("progress.of", { operator: operatorName(row.operator) })} aria-valuenow={done} aria-valuemin={0} aria-valuemax={100}>
      <i className="good" style={{ width: share(row.delivered) }} />
      <i className="bad" style={{ width: share(row.failed) }} />
      <i className="warn" style={{ width: share(row.held) }} />
    </div>
  );
}

export function Progress({ id, state }: { id: number; state: string }) {
  const progress = api.useQuery("get", "/v1/campaigns/{id}/progress", { params: { path: { id } } }, { refetchInterval: OVER.includes(state) ? false : EVERY_MS });
  const number = (title: string, of: (row: Row) => number): Column<Row> => ({ title, cell: (row) => of(row).toLocaleString(), text: (row) => String(of(row)), number: true });
  const columns: Column<Row>[] = [
    { title: t("progress.operator"), cell: (row) => operatorName(row.operator) },
    { title: t("campaigns.progress"), cell: (row) => <Bar row={row} />, text: (row) => `${row.delivered + row.failed}/${row.delivered + row.failed + row.waiting + row.held}` },
    number(word("sums", "delivered"), (row) => row.delivered),
    number(word("sums", "waiting"), (row) => row.waiting),
    number(t("progress.deferred"), (row) => row.deferred),
    number(word("sums", "held"), (row) => row.held),
    number(word("sums", "failed"), (row) => row.failed),
    number(t("report.bounced"), (row) => row.bounced),
    { title: t("queue.due"), cell: (row) => <When at={row.due_at} />, text: (row) => (row.due_at ? toDate(row.due_at).toISOString() : "") },
  ];
  return (
    <Shown of={progress} rows={3}>
      {({ operators }) => <Table name={`campaign-${id}-progress`} title={t("progress.title")} rows={operators} columns={columns} id={(row) => row.operator ?? ""} empty={<Empty title={t("report.nothing_yet")} text={t("report.nothing_yet_text")} />} />}
    </Shown>
  );
}
