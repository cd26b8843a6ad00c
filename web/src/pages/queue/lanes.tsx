// Which source has connections to which site, and what stands in the way there.
import { client, got, type Schemas } from "../../api/client";
import { t } from "../../lib/text";
import { Badge, When } from "../../parts/basic";
import { type Column, List } from "../../parts/list";

type Row = Schemas["LaneView"];

export function Lanes() {
  const columns: Column<Row>[] = [
    { title: t("lanes.source"), cell: (row) => row.source ?? <span className="faint">{t("lanes.no_source")}</span>, text: (row) => row.source ?? "" },
    { title: t("lanes.site"), cell: (row) => <>{row.hosts?.replaceAll(",", ", ") || row.site}</>, text: (row) => row.hosts || String(row.site) },
    { title: t("lanes.connections"), cell: (row) => row.connections, number: true },
    { title: t("lanes.ready"), cell: (row) => row.ready, number: true },
    { title: t("lanes.limits"), cell: (row) => row.limits.map((id) => <Badge key={id} tone="warn">{t("queue.limit", { id })}</Badge>), text: (row) => row.limits.join(" ") },
    { title: t("lanes.blocked"), cell: (row) => row.blocked_until ? <><Badge tone="bad">{t("lanes.waits")}</Badge> <When at={row.blocked_until} /><div className="sub">{row.reason}</div></> : "", text: (row) => row.reason ?? "" },
  ];
  return <List whole name="lanes" label={t("queue.lanes")} load={() => got(client.GET("/v1/lanes"))} columns={columns} id={(row) => `${row.source}/${row.site}`} every={3_000} empty={{ title: t("lanes.empty"), text: t("lanes.empty_text") }} />;
}
