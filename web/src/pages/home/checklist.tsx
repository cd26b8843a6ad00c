// What a new organization has to do before its first real mail; gone once all of it is green.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { client, got } from "../../api/client";
import { useSession } from "../../lib/session";
import { type Key, t } from "../../lib/text";
import { Card } from "../../parts/basic";
import { Icon } from "../../parts/icon";

interface Step {
  key: Key;
  text: string;
  done: boolean;
  help: ReactNode;
}

/** The names by which this host greets others: each must lead to its address and back. */
async function hosts(): Promise<Step[]> {
  const { items } = await got(client.GET("/v1/sources"));
  const own = items.filter((one) => one.state === "active" && one.kind === "address");
  if (own.length === 0) return [];
  const isNamed = (one: (typeof own)[number]) => one.health?.findings.find((finding) => finding.check === "names")?.verdict === "fine";
  const names = [...new Set(own.map((one) => one.ehlo))].join(", ");
  return [{ key: "checklist.hosts", text: t("checklist.hosts_text", { names }), done: own.every(isNamed), help: <Link to="/sources" search={{}} className="button small">{t("checklist.hosts_go")}</Link> }];
}

async function steps(isAdmin: boolean): Promise<Step[]> {
  const [ofHosts, domains, keys, credentials, mails] = await Promise.all([
    isAdmin ? hosts() : [],
    got(client.GET("/v1/domains")),
    got(client.GET("/v1/dkim")),
    got(client.GET("/v1/credentials")),
    got(client.GET("/v1/messages", { params: { query: { limit: 1 } } })),
  ]);
  const names = domains.items.map((domain) => domain.name);
  const signed = names.filter((name) => keys.items.some((key) => key.domain === name));
  const checks = await Promise.all(names.slice(0, 5).map((name) => got(client.POST("/v1/domains/{name}/check", { params: { path: { name } } })).catch(() => null)));
  const go = (to: string, text: Key) => <Link to={to} search={{}} className="button small">{t(text)}</Link>;
  const wrong = names.find((_, at) => !checks[at]?.ready) ?? names[0];
  return [
    ...ofHosts,
    { key: "checklist.domain", text: t("checklist.domain_text"), done: names.length > 0, help: go("/domains", "checklist.domain") },
    { key: "checklist.keys", text: t("checklist.keys_text"), done: signed.length > 0 && signed.length === names.length, help: go("/domains", "checklist.keys") },
    { key: "checklist.records", text: t("checklist.records_text"), done: checks.length > 0 && checks.every((check) => check?.ready), help: wrong ? go(`/domains/${wrong}`, "checklist.records_go") : go("/domains", "checklist.domain") },
    { key: "checklist.credential", text: t("checklist.credential_text"), done: credentials.items.some((one) => !one.revoked_at), help: go("/credentials", "checklist.credential") },
    { key: "checklist.mail", text: t("checklist.mail_text"), done: mails.items.length > 0, help: go("/compose", "checklist.mail_go") },
  ];
}

export function Checklist() {
  const { may, organization } = useSession();
  const reads = may("domains_read") && may("credentials_read") && may("messages_read");
  const list = useQuery({ queryKey: ["checklist", organization], enabled: reads, refetchInterval: 30_000, queryFn: () => steps(may("installation")) });
  const all = list.data ?? [];
  if (all.length === 0 || all.every((step) => step.done)) return null;
  const done = all.filter((step) => step.done).length;
  return (
    <Card title={t("checklist.title")} actions={<span className="faint">{t("checklist.done", { done, all: all.length })}</span>}>
      <ol className="steps">
        {all.map((step) => (
          <li key={step.key}>
            <span className={step.done ? "tick done" : "tick"}><Icon name="check" /></span>
            <div className="text">
              <strong>{t(step.key)}</strong> <span className="unseen">{step.done ? t("checklist.is_done") : t("checklist.is_open")}</span>
              <div className="faint">{step.text}</div>
            </div>
            {!step.done && step.help}
          </li>
        ))}
      </ol>
    </Card>
  );
}
