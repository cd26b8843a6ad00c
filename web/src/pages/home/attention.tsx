// What does not mend itself: broken DNS, held mail, blocked lanes, failing webhooks, strange replies.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { client, got } from "../../api/client";
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

async function brokenDomains(): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/domains"));
  const found = await Promise.all(items.slice(0, 10).map(async ({ name }): Promise<Trouble[]> => {
    const check = await got(client.POST("/v1/domains/{name}/check", { params: { path: { name } } }));
    const wrong = check.records.filter((record) => record.state === "missing" || record.state === "different");
    if (wrong.length === 0) return [];
    return [{ key: `domain ${name}`, tone: "bad", text: t("attention.domain", { name, n: wrong.length }), help: <Link to="/domains/$name" params={{ name }} className="button small">{t("attention.see_records")}</Link> }];
  }));
  return found.flat();
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

async function suspended(): Promise<Trouble[]> {
  const { items } = await got(client.GET("/v1/organizations"));
  return items.filter((one) => one.suspended_at).map((one) => ({ key: `organization ${one.id}`, tone: "bad", text: t("attention.suspended", { name: one.name, reason: one.suspended_reason ?? "" }), help: null }));
}

/** One question that fails must not hide what the others found. */
async function troubles(may: May): Promise<Trouble[]> {
  const asked: Promise<Trouble[]>[] = [suspended()];
  if (may("domains_read")) asked.push(brokenDomains());
  if (may("messages_read")) asked.push(heldMail());
  if (may("delivery_read")) asked.push(blockedLanes());
  if (may("webhooks_read")) asked.push(failingHooks());
  if (may("installation")) asked.push(strangeReplies());
  const found = await Promise.allSettled(asked);
  return found.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
}

export function Attention() {
  const { may, organization } = useSession();
  const found = useQuery({ queryKey: ["attention", organization], refetchInterval: 15_000, queryFn: () => troubles(may) });
  if (!found.data || found.data.length === 0) return null;
  return (
    <Card title={t("attention.title")}>
      <div className="stack tight">
        {found.data.map((one) => <Notice key={one.key} tone={one.tone} action={one.help}>{one.text}</Notice>)}
      </div>
    </Card>
  );
}
