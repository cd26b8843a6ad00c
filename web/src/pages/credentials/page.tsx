// Who may submit mail or use the API: by which name, with which scopes and bounds.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { ago, ofInput, toInput } from "../../lib/time";
import { Badge, PageHead, When } from "../../parts/basic";
import { Dialog, useQuestion } from "../../parts/dialog";
import { type Field, given, lines, many, type Values } from "../../parts/form";
import type { Filter } from "../../parts/filters";
import { type Column, List, says } from "../../parts/list";
import { FormDialog, Maker } from "../../parts/maker";
import { Secret } from "../../parts/secret";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";

type Row = Schemas["CredentialRow"];
type Rules = Schemas["CredentialRules"];

/** What an application may be given; to change people and settings is for people. */
const SCOPES: Schemas["Permission"][] = ["send", "messages_read", "messages_steer", "domains_read", "domains_write", "delivery_read", "delivery_write", "suppressions_read", "suppressions_write", "contacts_read", "contacts_write", "contacts_reveal", "campaigns_read", "campaigns_write", "webhooks_read", "webhooks_write", "credentials_read", "people_read", "settings_read"];

export function ruleFields(rules?: Rules): Field[] {
  return [
    { name: "scopes", label: t("credentials.scopes"), kind: "checks", options: SCOPES.map((scope) => [scope, word("permission", scope)]), value: rules?.scopes ?? ["send"] },
    { name: "senders", label: t("credentials.senders"), kind: "lines", value: rules?.senders?.join("\n"), hint: t("credentials.senders_hint") },
    { name: "networks", label: t("credentials.networks"), kind: "lines", value: rules?.networks?.join("\n"), placeholder: "192.0.2.0/24" },
    { name: "rate_hour", label: t("credentials.rate"), kind: "number", min: 1, value: rules?.rate_hour ? String(rules.rate_hour) : "" },
    { name: "expires_at", label: t("credentials.expires"), kind: "moment", value: rules?.expires_at ? toInput(rules.expires_at) : "" },
    { name: "capture", label: t("credentials.capture"), kind: "check", value: rules?.capture ?? false, hint: t("credentials.capture_hint") },
  ];
}

export function rulesOf(values: Values): Rules {
  const rate = given(values, "rate_hour");
  const expires = given(values, "expires_at");
  return { scopes: many(values, "scopes") as Rules["scopes"], senders: lines(values, "senders"), networks: lines(values, "networks"), rate_hour: rate ? Number(rate) : undefined, expires_at: expires ? ofInput(expires) : undefined, capture: values.capture === true };
}

function shown(made: Schemas["Made"]) {
  const { name } = made.credential;
  return <Secret pairs={[[t("credentials.user"), name], [t("session.password"), made.secret], [t("credentials.bearer"), `Bearer ${name}:${made.secret}`]]} />;
}

export function Page() {
  const { may } = useSession();
  const [changing, setChanging] = useState<Row | null>(null);
  const [rotated, setRotated] = useState<Schemas["Made"] | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const streams = api.useQuery("get", "/v1/streams", {}, { enabled: may("settings_read") });
  const names = new Map((streams.data?.items ?? []).map((stream) => [stream.id, stream.name]));
  const columns: Column<Row>[] = [
    { title: t("credentials.name"), cell: (row) => <><strong>{row.name}</strong>{row.revoked_at ? <> <Badge tone="bad">{t("credentials.revoked")}</Badge></> : null}{row.rules.capture && <> <Badge tone="warn">{t("organizations.captures")}</Badge></>}</>, text: (row) => row.name },
    { title: t("credentials.stream"), cell: (row) => names.get(row.stream) ?? row.stream },
    { title: t("credentials.scopes"), cell: (row) => (row.rules.scopes ?? []).map((scope) => word("permission", scope)).join(", ") },
    { title: t("credentials.used"), cell: (row) => <When at={row.used_at} absent={t("credentials.never")} />, text: (row) => row.used_at ? new Date(row.used_at / 1000).toISOString() : "" },
    { title: t("credentials.made"), cell: (row) => <When at={row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
  ];
  const path = (row: Row) => ({ params: { path: { name: row.name } } });
  const after = async (text: string) => {
    tell(text);
    await queryClient.invalidateQueries();
  };
  const rotate = async (row: Row) => setRotated(await got(client.POST("/v1/credentials/{name}/rotate", path(row))));
  const finish = async (row: Row) => { await got(client.DELETE("/v1/credentials/{name}/previous-secret", path(row))); await after(t("credentials.finished")); };
  const revoke = async (row: Row) => { await got(client.DELETE("/v1/credentials/{name}", path(row))); await after(t("credentials.revoked_one")); };
  const actions = (row: Row) => row.revoked_at ? [] : [
    { text: t("act.change"), act: () => setChanging(row) },
    { text: t("credentials.rotate"), act: () => ask({ title: t("credentials.rotate"), text: t("credentials.rotate_text", { name: row.name }), button: t("credentials.rotate"), act: () => rotate(row) }) },
    { text: t("credentials.finish"), act: () => ask({ title: t("credentials.finish"), text: t("credentials.finish_text", { name: row.name }), button: t("credentials.finish"), act: () => finish(row) }) },
    { text: t("credentials.revoke"), danger: true, act: () => ask({ title: t("credentials.revoke"), text: `${t("credentials.revoke_text", { name: row.name })} ${row.used_at ? t("credentials.used_last", { at: ago(row.used_at) }) : t("credentials.never_used")}`, button: t("credentials.revoke"), danger: true, act: () => revoke(row) }) },
  ];
  const writes = may("credentials_write");
  const filters: Filter[] = [
    { name: "state", label: t("messages.state"), kind: "select", options: [["valid", t("credentials.valid")], ["revoked", t("credentials.revoked")]] },
    ...(names.size > 0 ? [{ name: "stream", label: t("credentials.stream"), kind: "select", options: [...names].map(([id, name]): [string, string] => [String(id), name]) } satisfies Filter] : []),
    { name: "scope", label: t("credentials.scopes"), kind: "select", options: options("permission", SCOPES) },
  ];
  const keeps = (row: Row, search: Record<string, string>) => says(search.state, row.revoked_at ? "revoked" : "valid") && says(search.stream, row.stream) && (search.scope === undefined || (row.rules.scopes ?? []).some((scope) => scope === search.scope));
  return (
    <>
      <PageHead title={t("credentials.title")} text={t("credentials.text")}>{writes && <Adding streams={[...new Set(names.values())]} />}</PageHead>
      <List whole name="credentials" label={t("credentials.title")} load={() => got(client.GET("/v1/credentials"))} filters={filters} keeps={keeps} columns={columns} id={(row) => row.name} actions={writes ? actions : undefined} empty={{ title: t("credentials.empty"), text: t("credentials.empty_text") }} />
      {changing && <FormDialog close={() => setChanging(null)} title={changing.name} fields={ruleFields(changing.rules)} button={t("act.save")} done={t("act.saved")} submit={async (values) => { await got(client.PATCH("/v1/credentials/{name}", { ...path(changing), body: rulesOf(values) })); }} />}
      {rotated && <Dialog open close={() => setRotated(null)} title={t("credentials.rotate")} text={t("credentials.rotated_text")}>{shown(rotated)}</Dialog>}
      {question}
    </>
  );
}

function Adding({ streams }: { streams: string[] }) {
  const fields: Field[] = [
    { name: "name", label: t("credentials.name"), required: true, placeholder: "shop", hint: t("credentials.name_hint") },
    { name: "stream", label: t("credentials.stream"), kind: "select", options: streams.map((name) => [name, name]) },
    ...ruleFields(),
  ];
  const add = async (values: Values) => {
    const made = await got(client.POST("/v1/credentials", { body: { name: given(values, "name") ?? "", stream: given(values, "stream"), rules: rulesOf(values) } }));
    return shown(made);
  };
  return <Maker label={t("credentials.add")} title={t("credentials.add")} fields={fields} button={t("credentials.add")} submit={add} />;
}
