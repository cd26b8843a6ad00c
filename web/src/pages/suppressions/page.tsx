// Addresses that are not written to, each with why; and a box that tells about one of them.
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { ofInput } from "../../lib/time";
import { Badge, Card, Notice, PageHead, When } from "../../parts/basic";
import { type Field, Form, given, lines, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { FormDialog, Maker } from "../../parts/maker";

type Row = Schemas["SuppressionRow"];

const SCOPES = ["organization", "stream", "installation"] as const;

function columns(): Column<Row>[] {
  return [
    {
      title: t("suppressions.address"),
      cell: (row) => (
        <>
          <span className="break">{row.address ?? <span className="mono">{row.sha256}</span>}</span>
          {row.note && <div className="sub">{row.note}</div>}
        </>
      ),
      text: (row) => row.address ?? row.sha256,
    },
    { title: t("suppressions.reason"), cell: (row) => <Badge tone={row.reason === "complaint" ? "bad" : "warn"}>{word("suppression_of", row.reason)}</Badge>, text: (row) => row.reason },
    { title: t("suppressions.scope"), cell: (row) => word("scope_of", row.scope), text: (row) => row.scope },
    { title: t("suppressions.evidence"), cell: (row) => row.evidence ? <Link to="/deliveries/$id" params={{ id: String(row.evidence) }}>{t("suppressions.see")}</Link> : "", text: (row) => String(row.evidence ?? "") },
    { title: t("suppressions.since"), cell: (row) => <When at={row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
    { title: t("suppressions.until"), cell: (row) => row.removed_at ? <Badge>{t("suppressions.removed")}</Badge> : <When at={row.expires_at} absent={t("suppressions.for_good")} />, text: (row) => row.removed_at ? "removed" : "" },
  ];
}

function load(search: Record<string, string>, cursor: string | undefined) {
  const query = { address: search.address, removed: search.removed === "true" ? true : undefined, cursor: cursor === undefined ? undefined : Number(cursor) };
  return got(client.GET("/v1/suppressions", { params: { query } }));
}

export function Page() {
  const { may } = useSession();
  const [removing, setRemoving] = useState<Row | null>(null);
  const writes = may("suppressions_write");
  return (
    <>
      <PageHead title={t("suppressions.title")} text={t("suppressions.text")}>{writes && <Adding />}</PageHead>
      <Test />
      <List
        name="suppressions"
        label={t("suppressions.title")}
        load={load}
        columns={columns()}
        id={(row) => row.id}
        filters={[
          { name: "address", label: t("suppressions.address"), placeholder: "ann@example.com" },
          { name: "removed", label: t("suppressions.show"), kind: "select", options: [["true", t("suppressions.with_removed")]] },
        ]}
        actions={writes ? (row) => row.removed_at ? [] : [{ text: t("suppressions.remove"), danger: true, act: () => setRemoving(row) }] : undefined}
        empty={{ title: t("suppressions.empty"), text: t("suppressions.empty_text") }}
      />
      {removing && <Removing row={removing} close={() => setRemoving(null)} />}
    </>
  );
}

function Removing({ row, close }: { row: Row; close: () => void }) {
  const remove = async (values: Values) => {
    await got(client.POST("/v1/suppressions/{id}/remove", { params: { path: { id: row.id } }, body: { note: given(values, "note") ?? "" } }));
  };
  return <FormDialog close={close} title={t("suppressions.remove")} text={t("suppressions.remove_text", { address: row.address ?? row.sha256 })} fields={[{ name: "note", label: t("suppressions.note"), required: true, hint: t("suppressions.note_hint") }]} button={t("suppressions.remove")} done={t("suppressions.removed_one")} submit={remove} />;
}

function useStreams() {
  const { may } = useSession();
  const streams = api.useQuery("get", "/v1/streams", {}, { enabled: may("settings_read") });
  return streams.data?.items ?? [];
}

function Adding() {
  const { may, organization } = useSession();
  const streams = useStreams();
  const scopes = SCOPES.filter((scope) => scope !== "installation" || may("installation"));
  const fields: Field[] = [
    { name: "entries", label: t("suppressions.addresses"), kind: "lines", required: true, hint: t("suppressions.addresses_hint") },
    { name: "scope", label: t("suppressions.scope"), kind: "select", options: scopes.map((scope) => [scope, word("scope_of", scope)]) },
    { name: "stream", label: t("credentials.stream"), kind: "select", options: streams.map((one) => [String(one.id), one.name]), shown: (values) => values.scope === "stream" },
    { name: "note", label: t("suppressions.note") },
    { name: "expires", label: t("suppressions.until"), kind: "moment", hint: t("suppressions.until_hint") },
  ];
  const add = async (values: Values) => {
    const scope = String(values.scope) as Row["scope"];
    const entries = lines(values, "entries").map((line) => /^[0-9a-f]{64}$/i.test(line) ? { sha256: line.toLowerCase() } : { address: line });
    const expires = given(values, "expires");
    await got(client.POST("/v1/suppressions", { body: {
      entries, scope, note: given(values, "note") ?? "", reason: "manual",
      organization: scope === "installation" ? undefined : (organization ?? undefined),
      stream: scope === "stream" ? Number(values.stream) : undefined,
      expires_at: expires ? ofInput(expires) : undefined,
    } }));
  };
  return <Maker label={t("suppressions.add")} title={t("suppressions.add")} text={t("suppressions.add_text")} fields={fields} button={t("suppressions.add")} done={t("suppressions.added")} submit={add} />;
}

function Test() {
  const streams = useStreams();
  const [answer, setAnswer] = useState<(Schemas["Answer"] & { address: string }) | null>(null);
  if (streams.length === 0) return null;
  const test = async (values: Values) => {
    const address = given(values, "address") ?? "";
    const query = { address, stream: Number(values.stream), organization: streams.find((one) => one.id === Number(values.stream))?.organization };
    const tested: Schemas["Answer"] = await got(client.GET("/v1/suppressions/test", { params: { query } }));
    setAnswer({ address, ...tested });
  };
  const fields: Field[] = [
    { name: "address", label: t("suppressions.address"), kind: "email", required: true },
    { name: "stream", label: t("credentials.stream"), kind: "select", options: streams.map((one) => [String(one.id), one.name]) },
  ];
  return (
    <Card title={t("suppressions.test")}>
      <div className="stack">
        <Form fields={fields} button={t("suppressions.test_button")} submit={test} />
        {answer && (answer.suppressed
          ? <Notice tone="warn">{t("suppressions.is", { address: answer.address, reason: word("suppression_of", answer.reason ?? ""), scope: word("scope_of", answer.scope ?? "") })}</Notice>
          : <Notice tone="good">{t("suppressions.is_not", { address: answer.address })}</Notice>)}
      </div>
    </Card>
  );
}
