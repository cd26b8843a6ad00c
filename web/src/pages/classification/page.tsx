// What answers of hosts mean: those that no rule knows, and own rules, tried on stored replies first.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { Badge, Button, Notice, PageHead, Pairs, When } from "../../parts/basic";
import { Dialog, useQuestion } from "../../parts/dialog";
import { type Field, Form, given, lines, type Values } from "../../parts/form";
import { byWords, type Column, List } from "../../parts/list";
import { Tabs } from "../../parts/tabs";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";

type Reply = Schemas["UnclassifiedReply"];
type Own = Schemas["OwnRule"];
type Rule = Schemas["Rule"];

const CLASSES: Schemas["Class"][] = ["mailbox_invalid", "mailbox_inactive", "mailbox_full", "domain_invalid", "host_misconfigured", "greylist", "rate_connections", "rate_messages", "rate_recipient", "reputation_address", "reputation_domain", "blocklisted", "authentication", "source_misconfigured", "sender_refused", "relay_denied", "policy", "content", "content_url", "virus", "malformed", "too_big", "dns", "network", "tls", "loop", "protocol", "system", "expired"];

export function Page() {
  const [rule, setRule] = useState<Partial<Reply> | null>(null);
  const tabs = [
    { name: "unclassified", title: t("classification.unclassified"), draw: () => <Unclassified make={setRule} /> },
    { name: "rules", title: t("classification.rules"), draw: () => <Rules /> },
  ];
  return (
    <>
      <PageHead title={t("classification.title")} text={t("classification.text")}>
        <Button look="main" icon="plus" onClick={() => setRule({})}>{t("classification.new")}</Button>
      </PageHead>
      <Tabs label={t("classification.title")} tabs={tabs} />
      {rule && <RuleMaker reply={rule} close={() => setRule(null)} />}
    </>
  );
}

function Unclassified({ make }: { make: (reply: Reply) => void }) {
  const columns: Column<Reply>[] = [
    { title: t("classification.reply"), cell: (row) => <code className="break">{row.sample}</code>, text: (row) => row.sample },
    { title: t("classification.operator"), cell: (row) => row.operator },
    { title: t("classification.count"), cell: (row) => row.count, number: true },
    { title: t("classification.last"), cell: (row) => <When at={row.last_seen_at} />, text: (row) => new Date(row.last_seen_at / 1000).toISOString() },
    { title: t("classification.act"), cell: (row) => <Button small onClick={() => make(row)}>{t("classification.make")}</Button>, text: () => "" },
  ];
  return <List name="unclassified" label={t("classification.unclassified")} load={(search, cursor) => got(client.GET("/v1/classification/unclassified", { params: { query: { cursor, find: search.find } } }))} filters={[byWords()]} columns={columns} id={(row) => row.id} empty={{ title: t("classification.all_known"), text: t("classification.all_known_text") }} />;
}

function Rules() {
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Own>[] = [
    { title: t("classification.rule"), cell: (row) => <span className="mono">{row.rule.id}</span>, text: (row) => row.rule.id },
    { title: t("classification.means"), cell: (row) => <Badge tone="info">{word("reply_class", row.rule.class)}</Badge>, text: (row) => row.rule.class },
    { title: t("classification.phrases"), cell: (row) => <span className="break">{(row.rule.phrases ?? []).join(" · ")}</span>, text: (row) => (row.rule.phrases ?? []).join(" | ") },
    { title: t("classification.operator"), cell: (row) => row.rule.operator ?? "" },
    { title: t("classification.made"), cell: (row) => <When at={row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
  ];
  const remove = async (id: string) => {
    await got(client.DELETE("/v1/classification/rules/{id}", { params: { path: { id } } }));
    tell(t("classification.removed"));
    await queryClient.invalidateQueries();
  };
  return (
    <>
      <List whole name="rules" label={t("classification.rules")} load={() => got(client.GET("/v1/classification/rules"))} columns={columns} id={(row) => row.rule.id} actions={(row) => [{ text: t("classification.remove"), danger: true, act: () => ask({ title: t("classification.remove"), text: t("classification.remove_text", { rule: row.rule.id }), button: t("classification.remove"), danger: true, act: () => remove(row.rule.id) }) }]} empty={{ title: t("classification.no_rules"), text: t("classification.no_rules_text") }} />
      {question}
    </>
  );
}

/** For whom and how long an address is not written to any more; nothing where it is. */
function suppressed(stop: Schemas["Changed"]["to_suppress"]): string {
  if (!stop) return "–";
  const scope = word("scope_of", stop.scope);
  return typeof stop.days === "number" ? t("classification.suppressed_days", { scope, days: stop.days }) : t("classification.suppressed_for_good", { scope });
}

function ruleOf(values: Values): Rule {
  const text = (name: string) => given(values, name);
  return {
    id: text("id") ?? "", class: String(values.class) as Rule["class"], confidence: Number(text("confidence") ?? "0.9"),
    operator: text("operator"), codes: lines(values, "codes"), enhanced: lines(values, "enhanced"), phrases: lines(values, "phrases"), without: lines(values, "without"), samples: lines(values, "samples"),
    only: values.only === true, never_suppress: values.never_suppress === true,
  };
}

function RuleMaker({ reply, close }: { reply: Partial<Reply>; close: () => void }) {
  const [tried, setTried] = useState<{ rule: Rule; trial: Schemas["Trial"] } | null>(null);
  const queryClient = useQueryClient();
  const fields: Field[] = [
    { name: "id", label: t("classification.rule"), required: true, placeholder: "own.mailbox_gone", hint: t("classification.id_hint") },
    { name: "class", label: t("classification.means"), kind: "select", options: options("reply_class", CLASSES) },
    { name: "phrases", label: t("classification.phrases"), kind: "lines", value: reply.text ?? "", hint: t("classification.phrases_hint") },
    { name: "without", label: t("classification.without"), kind: "lines", hint: t("classification.without_hint") },
    { name: "codes", label: t("classification.codes"), kind: "lines", placeholder: "5xx" },
    { name: "samples", label: t("classification.samples"), kind: "lines", required: true, value: reply.sample ?? "", hint: t("classification.samples_hint") },
    { name: "operator", label: t("classification.operator"), placeholder: reply.operator || "google" },
    { name: "only", label: t("classification.only"), kind: "check", shown: (values) => given(values, "operator") !== undefined },
    { name: "never_suppress", label: t("classification.never_suppress"), kind: "check" },
    { name: "confidence", label: t("classification.confidence"), value: "0.9" },
  ];
  const test = async (values: Values) => {
    const rule = ruleOf(values);
    setTried({ rule, trial: await got(client.POST("/v1/classification/rules/try", { body: { rule } })) });
  };
  const add = async () => {
    if (!tried) return;
    await got(client.POST("/v1/classification/rules", { body: tried.rule }));
    tell(t("classification.added"));
    await queryClient.invalidateQueries();
    close();
  };
  return (
    <Dialog open close={close} broad title={t("classification.new")} text={t("classification.new_text")}>
      <Form fields={fields} button={t("classification.try")} submit={test} cancel={close} />
      {tried && (
        <section className="stack" aria-label={t("classification.trial")}>
          <Notice tone={tried.trial.matched > 0 ? "good" : "warn"} action={<Button look="main" onClick={add}>{t("classification.use")}</Button>}>
            {t("classification.matched", { matched: tried.trial.matched, all: tried.trial.looked_at })}
          </Notice>
          {tried.trial.changed.map((one) => (
            <Pairs key={one.sample} of={[[t("classification.reply"), <code key="s">{one.sample}</code>], [t("classification.before"), `${word("reply_class", one.from_class)} (${one.from_rule})`], [t("classification.after"), word("reply_class", one.to_class)], [t("classification.suppressed"), suppressed(one.to_suppress)], [t("classification.count"), one.count]]} />
          ))}
        </section>
      )}
    </Dialog>
  );
}
