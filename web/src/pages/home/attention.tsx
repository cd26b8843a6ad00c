// What does not mend itself: red sources, broken DNS, blocks, campaigns that were stopped, held mail,
// lanes that wait, failing webhooks, strange replies; each with the button that helps.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Card, Notice, type Tone } from "../../parts/basic";

interface Trouble {
  key: string;
  tone: Tone;
  text: string;
  help: ReactNode;
}

type May = ReturnType<typeof useSession>["may"];

/** As the hourly check has found them; nothing is asked of name servers for this. */
async function brokenDomains(): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/domains"));
  return items.flatMap(({ name, checked }): Trouble[] => {
    const wrong = Object.values(checked ?? {}).filter((state) => state === "missing" || state === "different").length;
    if (wrong === 0) return [];
    return [{ key: `domain ${name}`, tone: "bad", text: t("attention.domain", { name, n: wrong }), help: <Link to="/domains/$name" params={{ name }} search={{}} className="button small">{t("attention.see_records")}</Link> }];
  });
}

async function redSources(): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/sources"));
  return items.filter((one) => one.health?.state === "red" && one.state === "active").map((one) => {
    const why = one.health?.findings.find((finding) => finding.verdict === "bad")?.text ?? "";
    return { key: `source ${one.name}`, tone: "bad", text: t(one.is_overridden ? "attention.source_used" : "attention.source", { name: one.name, why }), help: <Link to="/sources" search={{}} className="button small">{t("attention.see_sources")}</Link> };
  });
}

const BLOCKS: Schemas["DecisionRule"][] = ["block", "warmup_freeze", "sending_domain", "health"];
const CAMPAIGN = /^campaign:(\d+)$/;

/** What rules have stopped by themselves: sources and domains at operators, campaigns. */
async function stopped(may: May): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/decisions", { params: { query: { active: true } } }));
  const see = <Link to="/deliverability" search={{ view: "decisions", active: "true" }} className="button small">{t("attention.see_decisions")}</Link>;
  const ofCampaign = (one: Schemas["DecisionView"]) => one.rule === "campaign_content" || (one.rule === "health" && CAMPAIGN.test(one.who));
  const blocks = items.filter((one) => BLOCKS.includes(one.rule) && !ofCampaign(one)).map((one): Trouble => ({ key: `decision ${one.id}`, tone: "bad", text: t("attention.block", { from: one.who === "everybody" ? one.from : one.who, to: one.to, cause: one.cause }), help: see }));
  const campaigns = items.filter(ofCampaign).map((one): Trouble => {
    const id = CAMPAIGN.exec(one.who)?.[1];
    const open = id && may("campaigns_read") ? <Link to="/campaigns/$id" params={{ id }} search={{}} className="button small">{t("attention.see_campaign")}</Link> : null;
    return { key: `decision ${one.id}`, tone: "bad", text: t("attention.breaker", { campaign: id ?? "", to: one.to, cause: one.cause }), help: <>{open}{see}</> };
  });
  return [...blocks, ...campaigns];
}

async function troubledCampaigns(): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/campaigns"));
  return items.filter((one) => one.trouble && one.state !== "cancelled" && one.state !== "sent").map((one) => ({ key: `campaign ${one.id}`, tone: "bad", text: t("attention.campaign", { name: one.name, why: one.trouble ?? "" }), help: <Link to="/campaigns/$id" params={{ id: String(one.id) }} search={{}} className="button small">{t("attention.see_campaign")}</Link> }));
}

async function heldMail(): Promise<Trouble[]> {
  const { count } = await got(client.GET("/v1/deliveries/count", { params: { query: { state: "held" } as never } }));
  if (count === 0) return [];
  return [{ key: "held", tone: "warn", text: t("attention.held", { n: count }), help: <Link to="/queue" search={{ view: "deliveries", state: "held" }} className="button small">{t("attention.see_held")}</Link> }];
}

async function blockedLanes(): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/lanes"));
  const blocked = items.filter((lane) => lane.blocked_until && lane.ready > 0);
  if (blocked.length === 0) return [];
  return [{ key: "lanes", tone: "warn", text: t("attention.lanes", { n: blocked.length }), help: <Link to="/queue" search={{ view: "lanes" }} className="button small">{t("attention.see_lanes")}</Link> }];
}

async function failingHooks(): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/webhooks"));
  const failing = items.filter((hook) => hook.failing_since || hook.disabled_reason);
  return failing.map((hook) => ({ key: `hook ${hook.id}`, tone: "bad", text: t("attention.webhook", { name: hook.name }), help: <Link to="/webhooks/$id" params={{ id: String(hook.id) }} className="button small">{t("attention.see_webhook")}</Link> }));
}

async function strangeReplies(): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/classification/unclassified", { params: { query: { limit: 50 } } }));
  if (items.length === 0) return [];
  return [{ key: "replies", tone: "info", text: t("attention.replies", { n: items.length }), help: <Link to="/classification" search={{}} className="button small">{t("attention.see_replies")}</Link> }];
}

async function suspended(may: May): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/organizations"));
  return items.filter((one) => one.suspended_at).map((one) => ({ key: `organization ${one.id}`, tone: "bad", text: t("attention.suspended", { name: one.name, reason: one.suspended_reason ?? "" }), help: may("settings_read") ? <Link to="/organizations/$id" params={{ id: String(one.id) }} search={{}} className="button small">{t("attention.see_organization")}</Link> : null }));
}

/** Of the host that links in mail lead to, while its certificate is not renewed. */
async function badCertificate(organization: number): Promise<Trouble[]> {
  const { host, certificate } = await got(client.GET("/v1/public-host"));
  if (host == null || !certificate?.last_error) return [];
  return [{ key: "certificate", tone: "bad", text: t("attention.certificate", { host, why: certificate.last_error }), help: <Link to="/organizations/$id" params={{ id: String(organization) }} search={{ view: "public" }} className="button small">{t("attention.see_certificate")}</Link> }];
}

/** One question that fails must not hide what the others found. */
async function troubles(may: May, organization: number | null): Promise<Trouble[]> {
  const asked: Promise<Trouble[]>[] = [suspended(may)];
  if (may("domains_read")) asked.push(brokenDomains());
  if (may("domains_read") && may("settings_read") && organization !== null) asked.push(badCertificate(organization));
  if (may("messages_read")) asked.push(heldMail());
  if (may("delivery_read")) asked.push(blockedLanes());
  if (may("webhooks_read")) asked.push(failingHooks());
  if (may("installation")) asked.push(strangeReplies(), redSources(), stopped(may));
  if (may("campaigns_read")) asked.push(troubledCampaigns());
  const found = await Promise.allSettled(asked);
  const weight: Record<string, number> = { bad: 0, warn: 1, info: 2 };
  return found.flatMap((one) => (one.status === "fulfilled" ? one.value : [])).sort((a, b) => (weight[a.tone] ?? 3) - (weight[b.tone] ?? 3));
}

export function Attention() {
  const { may, organization } = useSession();
  const found = useQuery({ queryKey: ["attention", organization], refetchInterval: 15_000, queryFn: () => troubles(may, organization) });
  if (!found.data || found.data.length === 0) return null;
  return (
    <Card title={t("attention.title")}>
      <div className="stack tight">
        {found.data.map((one) => <Notice key={one.key} tone={one.tone} action={one.help}>{one.text}</Notice>)}
      </div>
    </Card>
  );
}
