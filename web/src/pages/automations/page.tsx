// Automations: mail that a person gets by what has happened to him.
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, PageHead, type Tone, When } from "../../parts/basic";
import { asked, byWords, type Column, List } from "../../parts/list";
import { options } from "../../parts/words";

export type Automation = Schemas["AutomationView"];

export const AUTOMATION_TONES: Record<Automation["state"], Tone> = { draft: "plain", active: "good", paused: "warn", ended: "plain" };

/** How many are on their way. */
export function underWay(automation: Automation): number {
  return automation.standing.reduce((sum, one) => sum + one.count, 0);
}

export function Page() {
  const { may } = useSession();
  const columns: Column<Automation>[] = [
    { title: t("templates.name"), cell: (row) => <Link to="/automations/$id" params={{ id: String(row.id) }} search={{}}>{row.name}</Link>, text: (row) => row.name },
    { title: t("messages.state"), cell: (row) => <><Badge tone={AUTOMATION_TONES[row.state]}>{word("automation_state", row.state)}</Badge>{row.trouble && <div className="sub">{row.trouble}</div>}</>, text: (row) => row.state },
    { title: t("automations.entry"), cell: (row) => word("automation_entry", row.definition.entry.kind), text: (row) => row.definition.entry.kind },
    { title: t("automations.steps"), cell: (row) => row.definition.steps.length, number: true },
    { title: t("automations.under_way"), cell: (row) => underWay(row).toLocaleString(), text: (row) => String(underWay(row)), number: true },
    { title: t("segments.changed"), cell: (row) => <When at={row.updated_at} />, text: (row) => new Date(row.updated_at / 1000).toISOString() },
  ];
  return (
    <>
      <PageHead title={t("automations.title")} text={t("automations.text")}>
        {may("campaigns_write") && <Link to="/automations/$id" params={{ id: "new" }} search={{}} className="button main-one">{t("automations.add")}</Link>}
      </PageHead>
      <List name="automations" label={t("automations.title")} load={(search, cursor) => got(client.GET("/v1/automations", { params: { query: { ...asked(search, cursor), state: search.state as Automation["state"] | undefined } } }))} filters={[byWords(), { name: "state", label: t("messages.state"), kind: "select", options: options("automation_state", Object.keys(AUTOMATION_TONES)) }]} columns={columns} id={(row) => row.id} every={10_000} empty={{ title: t("automations.empty"), text: t("automations.empty_text") }} />
    </>
  );
}
