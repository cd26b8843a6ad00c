// Campaigns, newest first, each with how far it is.
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, PageHead, type Tone, When } from "../../parts/basic";
import { asked, byWords, type Column, List } from "../../parts/list";
import { options } from "../../parts/words";
import { Sums } from "./sums";

export type Campaign = Schemas["CampaignView"];

export const CAMPAIGN_TONES: { [state in Campaign["state"]]: Tone } = { draft: "plain", scheduled: "info", preparing: "info", sending: "info", paused: "warn", cancelled: "bad", sent: "good" };

const CAMPAIGN_STATES = Object.keys(CAMPAIGN_TONES);

export function Page() {
  const { may } = useSession();
  const columns: Column<Campaign>[] = [
    { title: t("campaigns.name"), cell: (row) => <><Link to="/campaigns/$id" params={{ id: String(row.id) }}>{row.name}</Link><div className="sub">{row.content.variants[0]?.subject}</div></>, text: (row) => row.name },
    { title: t("messages.state"), cell: (row) => <><Badge tone={CAMPAIGN_TONES[row.state]}>{word("campaign_state", row.state)}</Badge>{row.trouble && <div className="sub">{row.trouble}</div>}</>, text: (row) => row.state },
    { title: t("campaigns.audience"), cell: (row) => row.audience?.toLocaleString() ?? "–", number: true },
    { title: t("campaigns.progress"), cell: (row) => row.audience ? <Sums sums={row.sums} small /> : "", text: (row) => String(row.sums.delivered) },
    { title: t("campaigns.begun"), cell: (row) => <When at={row.launched_at ?? row.settings.starts_at} />, text: (row) => (row.launched_at ? new Date(row.launched_at / 1000).toISOString() : "") },
  ];
  return (
    <>
      <PageHead title={t("campaigns.title")} text={t("campaigns.text")}>
        <Link to="/campaigns/compare" search={{}} className="button">{t("compare.title")}</Link>
        {may("campaigns_write") && <Link to="/campaigns/$id" params={{ id: "new" }} search={{}} className="button main-one">{t("campaigns.add")}</Link>}
      </PageHead>
      <List name="campaigns" label={t("campaigns.title")} load={(search, cursor) => got(client.GET("/v1/campaigns", { params: { query: { ...asked(search, cursor), state: search.state as Campaign["state"] | undefined } } }))} filters={[byWords(), { name: "state", label: t("messages.state"), kind: "select", options: options("campaign_state", CAMPAIGN_STATES) }]} columns={columns} id={(row) => row.id} every={5_000} choose={(rows) => <Link to="/campaigns/compare" search={{ ids: rows.map((row) => row.id).join(",") }} className="button small">{t("compare.these")}</Link>} empty={{ title: t("campaigns.empty"), text: t("campaigns.empty_text") }} />
    </>
  );
}
