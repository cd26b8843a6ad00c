// Everybody of a campaign's audience who has become a delivery: what came of it, who has read it.
import { Link, useParams } from "@tanstack/react-router";
import { api, client, got, headers, type Schemas } from "../../api/client";
import { save } from "../../lib/csv";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { toDate } from "../../lib/time";
import { Badge, Button, PageHead, When } from "../../parts/basic";
import { useFilters } from "../../parts/filters";
import { type Column, List } from "../../parts/list";
import { explain } from "../../parts/state";
import { tell } from "../../parts/toast";
import { options, STATE_NAMES, StateBadge } from "../../parts/words";

type Row = Schemas["CampaignRecipient"];

const iso = (at: number | null | undefined) => (at ? toDate(at).toISOString() : "");

export function Page() {
  const id = Number((useParams({ strict: false }) as { id: string }).id);
  const campaign = api.useQuery("get", "/v1/campaigns/{id}", { params: { path: { id } } });
  const { may } = useSession();
  const { values } = useFilters();
  const reads = may("messages_read");
  const columns: Column<Row>[] = [
    { title: t("messages.recipient"), cell: (row) => (reads ? <Link to="/messages/$id" params={{ id: String(row.message) }} search={{}} className="break">{row.recipient}</Link> : <span className="break">{row.recipient}</span>), text: (row) => row.recipient },
    { title: t("messages.state"), cell: (row) => <StateBadge state={row.state} />, text: (row) => row.state },
    { title: t("messages.answer"), cell: (row) => <span className="sub break">{row.answer}</span>, text: (row) => row.answer },
    { title: t("messages.tries"), cell: (row) => row.tries, number: true },
    { title: t("queue.due"), cell: (row) => <When at={row.due_at} />, text: (row) => iso(row.due_at) },
    { title: t("recipients.delivered"), cell: (row) => <When at={row.delivered_at} />, text: (row) => iso(row.delivered_at) },
    { title: t("recipients.read"), cell: (row) => <Reading row={row} />, text: (row) => iso(row.clicked_at ?? row.opened_at) },
  ];
  const load = async (search: Record<string, string>, cursor: string | undefined) => {
    // Who has read it is asked for by itself.
    const reader = search.reader as "opened" | "clicked" | undefined;
    const state = reader ? undefined : (search.state as Row["state"] | undefined);
    return got(client.GET("/v1/campaigns/{id}/deliveries", { params: { path: { id }, query: { state, reader, cursor } } }));
  };
  const filters = [
    ...(values.reader ? [] : [{ name: "state", label: t("messages.state"), kind: "select" as const, options: options("state_of", STATE_NAMES) }]),
    { name: "reader", label: t("recipients.read"), kind: "select" as const, options: options("reader", ["opened", "clicked"]) },
  ];
  return (
    <>
      <PageHead title={t("recipients.of", { name: campaign.data?.name ?? "…" })} text={t("recipients.text")}>
        <Link to="/campaigns/$id" params={{ id: String(id) }} search={{}} className="button">{t("campaign.title")}</Link>
        <Link to="/campaigns/$id/report" params={{ id: String(id) }} search={{}} className="button">{t("report.title")}</Link>
        <Everybody id={id} />
      </PageHead>
      <List name={`campaign-${id}-recipients`} label={t("recipients.title")} load={load} columns={columns} id={(row) => row.delivery} filters={filters} every={10_000} empty={{ title: t("recipients.empty"), text: t("recipients.empty_text") }} />
    </>
  );
}

function Reading({ row }: { row: Row }) {
  if (row.clicked_at) return <><Badge tone="good">{t("reader.clicked")}</Badge> <When at={row.clicked_at} /></>;
  if (row.opened_at) return <><Badge tone="info">{t("reader.opened")}</Badge> <When at={row.opened_at} /></>;
  return <span className="faint">–</span>;
}

/** The whole audience as the daemon writes it, however long. */
function Everybody({ id }: { id: number }) {
  const fetchAll = async () => {
    try {
      const answer = await fetch(`/v1/campaigns/${id}/recipients`, { headers: headers() });
      if (!answer.ok) throw await answer.json();
      save(`campaign-${id}-recipients.csv`, await answer.blob());
    } catch (error) {
      tell(explain(error), true);
    }
  };
  return <Button icon="download" onClick={() => void fetchAll()}>{t("recipients.all")}</Button>;
}
