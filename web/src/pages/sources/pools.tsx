// Pools, who is in them with which weight, and the rules that lead to them.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Badge } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { type Field, given, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { FormDialog, Maker } from "../../parts/maker";
import { tell } from "../../parts/toast";

type Pool = Schemas["PoolView"];

export function Pools() {
  const [open, setOpen] = useState<Pool | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const sources = api.useQuery("get", "/v1/sources");
  const after = async () => {
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const removeMember = async (pool: string, source: string) => {
    await got(client.DELETE("/v1/pools/{name}/sources/{source}", { params: { path: { name: pool, source } } }));
    await after();
  };
  const remove = async (pool: Pool) => {
    await got(client.DELETE("/v1/pools/{name}", { params: { path: { name: pool.name } } }));
    await after();
  };
  const columns: Column<Pool>[] = [
    { title: t("pools.name"), cell: (row) => <><strong>{row.name}</strong> {!row.sends && row.sources.length > 0 && <Badge tone="bad">{t("pools.waits")}</Badge>}</>, text: (row) => row.name },
    {
      title: t("pools.members"),
      cell: (row) => row.sources.length === 0 ? <Badge tone="warn">{t("pools.none")}</Badge> : row.sources.map((one) => <div key={one.source}>{one.source} <span className="faint">{t("pools.weight_of", { weight: one.weight })}{one.share_max != null ? `, ${t("pools.share_of", { share: one.share_max })}` : ""}</span></div>),
      text: (row) => row.sources.map((one) => `${one.source}:${one.weight}`).join(" "),
    },
  ];
  const actions = (row: Pool) => [
    { text: t("pools.put"), act: () => setOpen(row) },
    ...row.sources.map((one) => ({ text: t("pools.take", { source: one.source }), act: () => ask({ title: t("pools.take", { source: one.source }), text: t("pools.take_text", { source: one.source, pool: row.name }), button: t("pools.take_button"), act: () => removeMember(row.name, one.source) }) })),
    { text: t("pools.remove"), danger: true, act: () => ask({ title: t("pools.remove"), text: t("pools.remove_text", { name: row.name, n: row.sources.length }), button: t("pools.remove"), danger: true, act: () => remove(row) }) },
  ];
  const member: Field[] = [
    { name: "source", label: t("lanes.source"), kind: "select", options: (sources.data?.items ?? []).map((one) => [one.name, one.name]) },
    { name: "weight", label: t("pools.weight"), kind: "number", min: 0, value: "1", hint: t("pools.weight_hint") },
    { name: "share_max", label: t("pools.share"), kind: "number", min: 1, hint: t("pools.share_hint") },
  ];
  const put = async (values: Values) => {
    const share = given(values, "share_max");
    if (open) await got(client.POST("/v1/pools/{name}/sources", { params: { path: { name: open.name } }, body: { source: String(values.source), weight: Number(given(values, "weight") ?? "1"), share_max: share ? Number(share) : undefined } }));
  };
  return (
    <>
      <div className="row"><Maker label={t("pools.add")} title={t("pools.add")} fields={[{ name: "name", label: t("pools.name"), required: true }]} button={t("pools.add")} done={t("act.saved")} submit={async (values) => { await got(client.POST("/v1/pools", { body: { name: given(values, "name") ?? "" } })); }} /></div>
      <List whole name="pools" label={t("pools.title")} load={() => got(client.GET("/v1/pools"))} columns={columns} id={(row) => row.name} actions={actions} empty={{ title: t("pools.empty") }} />
      {open && <FormDialog close={() => setOpen(null)} title={t("pools.put_into", { name: open.name })} fields={member} button={t("act.save")} done={t("act.saved")} submit={put} />}
      {question}
    </>
  );
}

type Rule = Schemas["RuleView"];

export function Rules() {
  const { organizations } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const pools = api.useQuery("get", "/v1/pools");
  const streams = api.useQuery("get", "/v1/streams");
  const name = (id: number | null | undefined) => organizations.find((one) => one.id === id)?.name ?? id;
  const matches = (row: Rule) => [
    row.organization != null && `${t("shell.organization")}: ${name(row.organization)}`,
    row.stream != null && `${t("credentials.stream")}: ${streams.data?.items.find((one) => one.id === row.stream)?.name ?? row.stream}`,
    row.sender && `${t("messages.sender")}: ${row.sender}`,
    row.recipient && `${t("messages.recipient")}: ${row.recipient}`,
    row.operator_name && `${t("classification.operator")}: ${row.operator_name}`,
    row.tag && `${t("messages.tag")}: ${row.tag}`,
  ].filter(Boolean).join(" · ");
  const columns: Column<Rule>[] = [
    { title: t("rules.position"), cell: (row) => row.position, number: true },
    { title: t("rules.matches"), cell: matches },
    { title: t("rules.leads"), cell: (row) => <Badge tone="info">{row.pool_name}</Badge>, text: (row) => row.pool_name },
  ];
  const fields: Field[] = [
    { name: "position", label: t("rules.position"), kind: "number", min: 1, required: true, hint: t("rules.position_hint") },
    { name: "pool", label: t("sources.pool"), kind: "select", options: (pools.data?.items ?? []).map((one) => [one.name, one.name]) },
    { name: "organization", label: t("shell.organization"), kind: "select", options: [["", t("filter.all")], ...organizations.map((one): [string, string] => [String(one.id), one.name])] },
    { name: "stream", label: t("credentials.stream"), kind: "select", options: [["", t("filter.all")], ...(streams.data?.items ?? []).map((one): [string, string] => [String(one.id), one.name])] },
    { name: "sender", label: t("messages.sender"), placeholder: "example.com" },
    { name: "recipient", label: t("messages.recipient"), placeholder: "example.com" },
    { name: "operator", label: t("classification.operator"), placeholder: "google" },
    { name: "tag", label: t("messages.tag") },
    { name: "credential", label: t("rules.credential") },
  ];
  const put = async (values: Values) => {
    const text = (field: string) => given(values, field);
    const organization = text("organization");
    const stream = text("stream");
    await got(client.POST("/v1/pool-rules", { body: { position: Number(values.position), pool: String(values.pool), organization: organization ? Number(organization) : undefined, stream: stream ? Number(stream) : undefined, sender: text("sender"), recipient: text("recipient"), operator: text("operator"), tag: text("tag"), credential: text("credential") } }));
  };
  const remove = async (row: Rule) => {
    await got(client.DELETE("/v1/pool-rules/{id}", { params: { path: { id: row.id } } }));
    await queryClient.invalidateQueries();
  };
  return (
    <>
      <div className="row"><Maker label={t("rules.add")} title={t("rules.add")} text={t("rules.add_text")} fields={fields} button={t("rules.add")} done={t("act.saved")} submit={put} /></div>
      <List whole name="pool-rules" label={t("rules.title")} load={() => got(client.GET("/v1/pool-rules"))} columns={columns} id={(row) => row.id} actions={(row) => [{ text: t("rules.remove"), danger: true, act: () => ask({ title: t("rules.remove"), text: t("rules.remove_text", { pool: row.pool_name }), button: t("rules.remove"), danger: true, act: () => remove(row) }) }]} empty={{ title: t("rules.empty"), text: t("rules.empty_text") }} />
      {question}
    </>
  );
}
