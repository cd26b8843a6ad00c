// How much of what was offered bounced, was put off, refused or complained of, and by whom.
import { Link } from "@tanstack/react-router";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { spoken, t, word } from "../../lib/text";
import { Badge, type Tone } from "../../parts/basic";
import { type Column, List } from "../../parts/list";
import { operatorName, options } from "../../parts/words";

type Row = Schemas["HealthWindow"];
type Rate = Schemas["RateView"];

const KINDS: Row["kind"][] = ["source", "domain", "organization", "campaign", "credential"];
const TONES: Record<Rate["standing"], Tone> = { good: "good", warn: "warn", stop: "bad" };
const HOURS = ["24", "168", "720", "2160"];

function share(part: number): string {
  return `${(part * 100).toLocaleString(spoken(), { maximumFractionDigits: 2 })} %`;
}

function RateCell({ rate }: { rate: Rate }) {
  if (rate.of === 0) return <span className="faint">–</span>;
  return (
    <>
      <Badge tone={rate.standing === "good" ? "plain" : TONES[rate.standing]}>{share(rate.rate)}</Badge>
      <div className="sub nowrap">{t("windows.between", { low: share(rate.low), high: share(rate.high) })}</div>
      <div className="sub nowrap">{rate.count.toLocaleString()} / {rate.of.toLocaleString()}</div>
    </>
  );
}

/** Campaigns come without their names; the newest are known by a list. */
function useName(): (row: Row) => string {
  const { may } = useSession();
  const campaigns = api.useQuery("get", "/v1/campaigns", {}, { enabled: may("campaigns_read"), staleTime: 60_000 });
  return (row) => row.name ?? (row.kind === "campaign" ? campaigns.data?.items.find((one) => one.id === row.id)?.name : undefined) ?? `${word("window_kind", row.kind)} ${row.id}`;
}

export function Windows() {
  const name = useName();
  const rate = (title: string, of: (row: Row) => Rate): Column<Row> => ({ title, cell: (row) => <RateCell rate={of(row)} />, text: (row) => String(of(row).rate) });
  const columns: Column<Row>[] = [
    { title: t("windows.of"), cell: (row) => <><strong>{row.kind === "campaign" ? <Link to="/campaigns/$id" params={{ id: String(row.id) }} search={{}}>{name(row)}</Link> : name(row)}</strong><div className="sub">{word("window_kind", row.kind)}</div></>, text: (row) => `${row.kind} ${name(row)}` },
    { title: t("progress.operator"), cell: (row) => row.operator == null ? t("windows.all_operators") : operatorName(row.operator) },
    { title: t("windows.answered"), cell: (row) => row.counts.answered.toLocaleString(), text: (row) => String(row.counts.answered), number: true },
    rate(t("windows.bounce"), (row) => row.bounce),
    rate(t("windows.complaint"), (row) => row.complaint),
    rate(t("windows.deferral"), (row) => row.deferral),
    rate(t("windows.block"), (row) => row.block),
  ];
  const load = (search: Record<string, string>, cursor: string | undefined) => got(client.GET("/v1/health-windows", { params: { query: {
    kind: KINDS.find((kind) => kind === search.kind), hours: HOURS.includes(search.hours ?? "") ? Number(search.hours) : undefined,
    by_operator: search.by === "operator", operator: search.operator, cursor, limit: 50,
  } } }));
  const filters = [
    { name: "kind", label: t("windows.of"), kind: "select" as const, options: options("window_kind", KINDS) },
    { name: "hours", label: t("growth.span"), kind: "select" as const, options: HOURS.map((hours): [string, string] => [hours, Number(hours) < 48 ? t("windows.hours", { n: Number(hours) }) : t("growth.days", { n: Number(hours) / 24 })]) },
    { name: "by", label: t("windows.by"), kind: "select" as const, options: [["operator", t("progress.operator")]] as [string, string][] },
  ];
  return <List name="health-windows" label={t("windows.title")} load={load} columns={columns} id={(row) => `${row.kind}.${row.id}.${row.operator ?? ""}`} filters={filters} every={15_000} empty={{ title: t("windows.empty"), text: t("windows.empty_text") }} />;
}
