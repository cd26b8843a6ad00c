// What a new organization has to do before its first real mail; gone once all of it is green.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { client, got } from "../../api/client";
import { useSession } from "../../lib/session";
import { type Key, t } from "../../lib/text";
import { Card } from "../../parts/basic";
import { isNamed } from "../settings/hosts";
import { Icon } from "../../parts/icon";

interface Step {
  key: Key;
  text: string;
  done: boolean;
  help: ReactNode;
}

/** The names by which others find this host: each must lead here, and addresses back to it. */
async function hosts(): Promise<Step[]> {
  const [sources, named] = await Promise.all([got(client.GET("/v1/sources")), got(client.GET("/v1/host-names"))]);
  const own = sources.items.filter((one) => one.state === "active" && one.kind === "address");
  const given = named.items.filter((one) => one.name != null);
  const names = [...new Set([...given.map((one) => one.name ?? ""), ...own.map((one) => one.ehlo)])].join(", ");
  const done = given.every((one) => one.record.state === "right") && own.every(isNamed);
  return [{ key: "checklist.hosts", text: t("checklist.hosts_text", { names }), done, help: <Link to="/settings" search={{ view: "hosts" }} className="button small">{t("checklist.hosts_go")}</Link> }];
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
