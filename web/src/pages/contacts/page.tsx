// People who are written to, all or those of a segment.
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, client, got, headers, Refused, type Schemas } from "../../api/client";
import { save } from "../../lib/csv";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, Button, PageHead, When } from "../../parts/basic";
import { useFilters } from "../../parts/filters";
import { type Field, given, many, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { Maker } from "../../parts/maker";
import { explain } from "../../parts/state";
import { tell } from "../../parts/toast";
import { BulkDialog, type Meant } from "./bulk";
import { valueFields, valuesGiven } from "./values";

type Row = Schemas["Contact"];

function columns(lists: Map<number, string>): Column<Row>[] {
  return [
    {
      title: t("contacts.email"),
      cell: (row) => (
        <>
          <Link to="/contacts/$id" params={{ id: String(row.id) }} className="break">{row.email}</Link>
          {row.name && <div className="sub">{row.name}</div>}
        </>
      ),
      text: (row) => row.email,
    },
    { title: t("contacts.status"), cell: (row) => <Badge tone={row.status === "active" ? "good" : "bad"}>{word("contact_status", row.status)}</Badge>, text: (row) => row.status },
    { title: t("contacts.lists"), cell: (row) => (row.lists ?? []).filter((one) => one.status === "subscribed").map((one) => lists.get(one.list) ?? one.list).join(", ") },
    { title: t("contacts.tags"), cell: (row) => (row.tags ?? []).map((tag) => <Badge key={tag}>{tag}</Badge>), text: (row) => (row.tags ?? []).join(" ") },
    { title: t("contacts.created"), cell: (row) => <When at={row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
  ];
}

function load(search: Record<string, string>, cursor: string | undefined) {
  const query = { segment: segmentOf(search), cursor: cursor === undefined ? undefined : Number(cursor) };
  return got(client.GET("/v1/contacts", { params: { query } }));
}

/** What is typed is an address; what is chosen is a saved segment. */
function segmentOf(search: Record<string, string>): string | undefined {
  const parts = [search.segment && `(${search.segment})`, search.email && `email contains ${quoted(search.email)}`].filter(Boolean);
  return parts.length > 0 ? parts.join(" and ") : undefined;
}

/** A segment that everybody is in. */
const EVERYBODY = 'email contains "@"';

function these(rows: Row[]): string {
  return `email in (${rows.map((row) => quoted(row.email)).join(", ")})`;
}

export function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

export function Page() {
  const { may } = useSession();
  const { values } = useFilters();
  const lists = api.useQuery("get", "/v1/lists");
  const segments = api.useQuery("get", "/v1/segments");
  const segment = segmentOf(values);
  const [meant, setMeant] = useState<Meant | null>(null);
  const writes = may("contacts_write");
  const count = api.useQuery("get", "/v1/contacts/count", { params: { query: { segment } } });
  const names = new Map((lists.data?.items ?? []).map((list) => [list.id, list.name]));
  const saved = (segments.data?.items ?? []).map((one): [string, string] => [one.expression, one.name]);
  const chosen = values.segment && !saved.some(([expression]) => expression === values.segment) ? [[values.segment, values.segment] as [string, string]] : [];
  return (
    <>
      <PageHead title={t("contacts.title")} text={count.data ? t("contacts.count", { n: count.data.count }) : t("contacts.text")}>
        <Button icon="download" onClick={() => void exported(segment)}>{t("contacts.export")}</Button>
        {may("contacts_write") && <><Link to="/imports" search={{}} className="button">{t("contacts.import")}</Link><Adding /></>}
      </PageHead>
      <List name="contacts" label={t("contacts.title")} load={load} columns={columns(names)} id={(row) => row.id} filters={[{ name: "email", label: t("contacts.email") }, { name: "segment", label: t("contacts.segment"), kind: "select", options: [...saved, ...chosen] }]} above={writes && (
        <div className="filters">
          <span className="faint">{segment ? t("contacts.with_found") : t("contacts.with_all")}</span>
          <Button small onClick={() => setMeant({ segment: segment ?? EVERYBODY, remove: false })}>{t("act.change")}…</Button>
          <Button small look="danger" onClick={() => setMeant({ segment: segment ?? EVERYBODY, remove: true })}>{t("contacts.bulk_remove")}…</Button>
        </div>
      )} choose={writes ? (rows) => (
        <>
          <Button small onClick={() => setMeant({ segment: these(rows), remove: false })}>{t("act.change")}…</Button>
          <Button small look="danger" onClick={() => setMeant({ segment: these(rows), remove: true })}>{t("contacts.bulk_remove")}…</Button>
        </>
      ) : undefined} empty={{ title: t("contacts.empty"), text: t("contacts.empty_text"), action: <Link to="/imports" search={{}} className="button">{t("contacts.import")}</Link> }} />
      {meant && <BulkDialog meant={meant} close={() => setMeant(null)} />}
    </>
  );
}

async function exported(segment: string | undefined) {
  try {
    const query = segment ? `?segment=${encodeURIComponent(segment)}` : "";
    const answer = await fetch(`/v1/contacts/export${query}`, { headers: headers() });
    if (!answer.ok) throw new Refused(await answer.json());
    save("contacts.csv", await answer.blob());
  } catch (error) {
    tell(explain(error), true);
  }
}

export function consentFields(lists: Schemas["ListView"][]): Field[] {
  return [
    { name: "subscribe", label: t("contacts.subscribe"), kind: "checks", options: lists.map((list) => [String(list.id), list.name]) },
    { name: "source", label: t("contacts.consent"), hint: t("contacts.consent_hint"), required: true, shown: (values) => many(values, "subscribe").length > 0 },
    { name: "wording", label: t("contact.wording"), hint: t("contact.wording_hint"), shown: (values) => many(values, "subscribe").length > 0 },
  ];
}

/** How the person agreed, where a list is subscribed to. */
export function consentOf(values: Values): Schemas["ConsentInput"] | undefined {
  const source = given(values, "source");
  return many(values, "subscribe").length > 0 && source ? { source, wording: given(values, "wording"), confirmed: true } : undefined;
}

function Adding() {
  const lists = api.useQuery("get", "/v1/lists");
  const known = api.useQuery("get", "/v1/contact-fields").data?.items ?? [];
  const fields: Field[] = [
    { name: "email", label: t("contacts.email"), kind: "email", required: true },
    { name: "name", label: t("contacts.name") },
    ...valueFields(known),
    { name: "language", label: t("contact.language"), placeholder: "de" },
    { name: "time_zone", label: t("contact.zone"), placeholder: "Europe/Berlin" },
    ...consentFields(lists.data?.items ?? []),
  ];
  const add = async (values: Values) => {
    const subscribe = many(values, "subscribe").map(Number);
    const contact = { name: given(values, "name"), language: given(values, "language"), time_zone: given(values, "time_zone"), fields: valuesGiven(known, values), subscribe, consent: consentOf(values) };
    await got(client.POST("/v1/contacts", { body: { email: given(values, "email") ?? "", mode: "add", contact } }));
  };
  return <Maker label={t("contacts.add")} title={t("contacts.add")} fields={fields} button={t("contacts.add")} done={t("contacts.added")} submit={add} />;
}
