// Every limit there is: from where to where, who set it, what of it is used.
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, PageHead, When } from "../../parts/basic";
import { Concerned } from "../../parts/concerned";
import { useQuestion } from "../../parts/dialog";
import { type Field, given, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { Maker } from "../../parts/maker";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";
import { useQueryClient } from "@tanstack/react-query";
import { reasonsOf } from "../queue/reasons";

type Row = Schemas["LimitView"];

const ORIGINS = ["pack", "admin", "quota", "warm_up", "adaptive"];
const METRICS = ["messages", "connections", "new_connections", "messages_per_connection", "recipients_per_message"];

function every(seconds: number | null | undefined): string {
  if (!seconds) return "";
  const [unit, length] = ([["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]] as const).find(([, size]) => seconds % size === 0) ?? ["s", 1];
  return ` / ${seconds / length === 1 ? "" : seconds / length}${unit}`;
}

function columns(): Column<Row>[] {
  return [
    {
      title: t("limits.limit"),
      cell: (row) => (
        <>
          <strong>{row.value.toLocaleString()} {word("metric_of", row.metric)}{every(row.window)}</strong>
          <div className="sub">{row.reason}</div>
        </>
      ),
      text: (row) => `${row.value} ${row.metric}${every(row.window)}`,
    },
    { title: t("limits.from"), cell: (row) => row.from },
    { title: t("limits.to"), cell: (row) => row.to },
    { title: t("limits.for"), cell: (row) => [row.for, row.class].filter(Boolean).join(", "), text: (row) => row.for },
    { title: t("limits.origin"), cell: (row) => <><Badge tone={row.origin === "adaptive" ? "warn" : row.origin === "warm_up" ? "info" : "plain"}>{word("origin_of", row.origin)}</Badge>{row.pinned && <> <Badge>{t("limits.pinned")}</Badge></>}</>, text: (row) => row.origin },
    { title: t("limits.used"), cell: (row) => <Used row={row} />, text: (row) => String(Math.max(0, ...row.used.map((one) => one.count))) },
    { title: t("limits.ends"), cell: (row) => <When at={row.expires_at} />, text: () => "" },
  ];
}

function Used({ row }: { row: Row }) {
  const most = Math.max(0, ...row.used.map((one) => one.count));
  if (row.used.length === 0) return <span className="faint">–</span>;
  const share = row.value === 0 ? 1 : Math.min(1, most / row.value);
  const tone = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "good";
  return (
    <div style={{ minWidth: "6rem" }}>
      <span className="nowrap">{most.toLocaleString()} / {row.value.toLocaleString()}</span>
      <div className="bar" aria-hidden="true"><i className={tone} style={{ width: `${share * 100}%` }} /></div>
    </div>
  );
}

function load(search: Record<string, string>, cursor: string | undefined) {
  const query = { origin: search.origin as Row["origin"] | undefined, cursor: cursor === undefined ? undefined : Number(cursor) };
  return got(client.GET("/v1/limits", { params: { query } }));
}

function fields(): Field[] {
  return [
    { name: "metric", label: t("limits.metric"), kind: "select", options: options("metric_of", METRICS) },
    { name: "value", label: t("limits.value"), kind: "number", min: 0, required: true, hint: t("limits.value_hint") },
    { name: "window", label: t("limits.window"), placeholder: "1d", hint: t("limits.window_hint"), shown: (values) => ["messages", "new_connections"].includes(String(values.metric)) },
    { name: "pace", label: t("limits.pace"), placeholder: "sliding", hint: t("limits.pace_hint"), shown: (values) => given(values, "window") !== undefined },
    { name: "to", label: t("limits.to"), placeholder: "operator:google", hint: t("limits.to_hint") },
    { name: "from", label: t("limits.from"), placeholder: "each_source", hint: t("limits.from_hint") },
    { name: "for", label: t("limits.for"), placeholder: "everybody", hint: t("limits.for_hint") },
    { name: "class", label: t("limits.class"), kind: "select", options: [["", t("limits.every_class")], ...options("class_of", ["marketing", "transactional"])] },
    { name: "expires_in", label: t("limits.ends"), placeholder: "2h" },
    { name: "reason", label: t("limits.reason"), required: true },
    { name: "pinned", label: t("limits.keep"), kind: "check", hint: t("limits.keep_hint") },
  ];
}

async function add(values: Values) {
  const text = (name: string) => given(values, name);
  await got(client.POST("/v1/limits", { body: {
    metric: String(values.metric), value: Number(values.value), window: text("window"), pace: text("pace"), pinned: values.pinned === true, to: text("to"), from: text("from"), for: text("for"),
    class: text("class") as "marketing" | "transactional" | undefined, expires_in: text("expires_in"), reason: text("reason"),
  } }));
}

export function Page() {
  const { may, organization, organizations } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const writes = may("delivery_write");
  const waitFor = async (limit: number) => {
    const about = organization === null ? organizations.map((one) => one.id) : [organization];
    const held = (await reasonsOf(about)).filter(({ reason }) => reason.limit === limit);
    return t("limits.remove_concerns", { n: held.reduce((sum, one) => sum + one.deliveries, 0) });
  };
  const after = async (call: Promise<unknown>, text: string) => {
    await call;
    tell(text);
    await queryClient.invalidateQueries();
  };
  const pin = (row: Row) => after(got(client.POST("/v1/limits/{id}/pin", { params: { path: { id: row.id } }, body: { pinned: !row.pinned } })), row.pinned ? t("limits.unpinned") : t("limits.now_pinned"));
  const remove = (row: Row) => after(got(client.DELETE("/v1/limits/{id}", { params: { path: { id: row.id } } })), t("limits.removed"));
  const actions = (row: Row) => [
    { text: row.pinned ? t("limits.unpin") : t("limits.pin"), act: () => void pin(row) },
    { text: row.origin === "adaptive" ? t("limits.undo") : t("limits.remove"), danger: true, act: () => ask({ title: t("limits.remove"), text: <Concerned text={t("limits.remove_text", { limit: `${row.value} ${word("metric_of", row.metric)}${every(row.window)}`, to: row.to })} of={["limit", row.id]} count={() => waitFor(row.id)} />, button: t("limits.remove"), danger: true, act: () => remove(row) }) },
  ];
  return (
    <>
      <PageHead title={t("limits.title")} text={t("limits.text")}>
        {writes && <Maker label={t("limits.add")} title={t("limits.add")} text={t("limits.add_text")} fields={fields()} button={t("limits.add")} done={t("limits.added")} submit={add} />}
      </PageHead>
      <List name="limits" label={t("limits.title")} load={load} columns={columns()} id={(row) => row.id} filters={[{ name: "origin", label: t("limits.origin"), kind: "select", options: options("origin_of", ORIGINS) }]} actions={writes ? actions : undefined} every={10_000} empty={{ title: t("limits.empty"), text: t("limits.empty_text") }} />
      {question}
    </>
  );
}
