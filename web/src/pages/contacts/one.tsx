// One contact: fields, memberships, and how each of them came about.
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { save } from "../../lib/csv";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { moment, toDate } from "../../lib/time";
import { Badge, Button, Card, PageHead, Pairs, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { type Field, given, many, type Values } from "../../parts/form";
import { FormDialog } from "../../parts/maker";
import { Sheet } from "../../parts/sheet";
import { Empty, explain, Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { consentFields, consentOf } from "./page";
import { Story } from "./story";
import { valueFields, valuesGiven } from "./values";

type Contact = Schemas["ContactStory"];

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  const contact = api.useQuery("get", "/v1/contacts/{id}", { params: { path: { id: Number(id) } } });
  return <Shown of={contact}>{(data) => <Drawn contact={data} />}</Shown>;
}

function Drawn({ contact }: { contact: Contact }) {
  const lists = api.useQuery("get", "/v1/lists");
  const names = new Map((lists.data?.items ?? []).map((list) => [list.id, list.name]));
  const fields = api.useQuery("get", "/v1/contact-fields");
  const known = fields.data?.items ?? [];
  return (
    <>
      <PageHead title={<span className="break">{contact.email}</span>} text={contact.name}>
        <Badge tone={contact.status === "active" ? "good" : "bad"}>{word("contact_status", contact.status)}</Badge>
        <Actions contact={contact} lists={lists.data?.items ?? []} known={known} />
      </PageHead>
      <div className="grid wide">
        <Card title={t("contact.facts")}>
          <Pairs of={[
            ...known.map((field): [string, ReactNode] => [field.label || field.name, <OwnValue key={field.name} field={field} contact={contact} />]).filter((_, at) => hasValue(known[at]?.name ?? "", contact)),
            [t("contacts.tags"), (contact.tags ?? []).join(", ")],
            [t("contact.language"), contact.language],
            [t("contact.zone"), contact.time_zone],
            [t("contact.opened"), contact.last_open_at ? <When key="o" at={contact.last_open_at} /> : null],
            [t("contact.clicked"), contact.last_click_at ? <When key="c" at={contact.last_click_at} /> : null],
            [t("contacts.created"), moment(contact.created_at)],
          ]} />
        </Card>
        <Card title={t("contacts.lists")}>
          {(contact.lists ?? []).length === 0 ? <Empty title={t("contact.no_lists")} /> : (
            <ul className="steps">
              {(contact.lists ?? []).map((one) => (
                <li key={one.list}><span className="text">{names.get(one.list) ?? one.list}</span><Badge tone={one.status === "subscribed" ? "good" : "plain"}>{word("membership", one.status)}</Badge><When at={one.since} /></li>
              ))}
            </ul>
          )}
        </Card>
        <Card title={t("contact.consents")} actions={contact.consents.length > 0 && <Sheet name={`contact-${contact.id}-consents`} title={t("contact.consents")} rows={() => consentSheet(contact, names)} />}>
          {contact.consents.length === 0 ? <Empty title={t("contact.no_consents")} /> : (
            <ol className="story">
              {contact.consents.map((one) => (
                <li key={one.id} className={["unsubscribed", "blocked"].includes(one.action) ? "warn" : "good"}>
                  <div>
                    <div className="row"><strong>{word("consent", one.action)}</strong>{one.list ? <span>{names.get(one.list) ?? one.list}</span> : null}<span className="faint">{moment(one.at)}</span></div>
                    <p className="faint break">{[one.source, one.wording, one.address].filter(Boolean).join(" · ")}</p>
                  </div>
                </li>
              ))}
            </ol>
          )}
        </Card>
      </div>
      <Story id={contact.id} />
    </>
  );
}

function consentSheet(contact: Contact, names: Map<number, string>): string[][] {
  const heads = [t("audit.when"), t("contacts.consent"), t("contacts.lists"), t("import.source"), t("contact.wording"), t("settings.address")];
  const line = (one: Contact["consents"][number]) => [toDate(one.at).toISOString(), one.action, one.list == null ? "" : (names.get(one.list) ?? String(one.list)), one.source, one.wording ?? "", one.address ?? ""];
  return [heads, ...contact.consents.map(line)];
}

function hasValue(name: string, contact: Contact): boolean {
  return contact.fields[name] !== undefined || (contact.sealed?.includes(name) ?? false);
}

function OwnValue({ field, contact }: { field: Schemas["FieldView"]; contact: Contact }) {
  if (contact.sealed?.includes(field.name)) return <><Badge tone="info">{t("fields.encrypted")}</Badge> <span className="faint">{t("values.hidden")}</span></>;
  const value = contact.fields[field.name];
  const text = Array.isArray(value) ? value.join(", ") : typeof value === "boolean" ? t(value ? "values.true" : "values.false") : typeof value === "object" ? JSON.stringify(value) : String(value);
  return <>{text} {field.encrypted && <Badge tone="info">{t("fields.encrypted")}</Badge>}</>;
}

/** All that is kept about the person, as one file. */
async function handedOver(contact: Contact) {
  try {
    const all = await got(client.GET("/v1/contacts/{id}/export", { params: { path: { id: contact.id } } }));
    save(`${contact.email}.json`, JSON.stringify(all, null, 2), "application/json");
  } catch (error) {
    tell(explain(error), true);
  }
}

function Actions({ contact, lists, known }: { contact: Contact; lists: Schemas["ListView"][]; known: Schemas["FieldView"][] }) {
  const { may } = useSession();
  const [editing, setEditing] = useState(false);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  if (!may("contacts_write")) return null;
  const path = { id: contact.id };
  const held = new Set((contact.lists ?? []).filter((one) => one.status === "subscribed").map((one) => one.list));
  const fields: Field[] = [
    { name: "name", label: t("contacts.name"), value: contact.name },
    ...valueFields(known, contact),
    { name: "language", label: t("contact.language"), value: contact.language ?? "", placeholder: "de" },
    { name: "time_zone", label: t("contact.zone"), value: contact.time_zone ?? "", placeholder: "Europe/Berlin" },
    { name: "tags", label: t("contacts.tags"), value: (contact.tags ?? []).join(", "), hint: t("contact.tags_hint") },
    ...consentFields(lists.filter((list) => !held.has(list.id))),
    { name: "unsubscribe", label: t("contact.unsubscribe"), kind: "checks", options: lists.filter((list) => held.has(list.id)).map((list) => [String(list.id), list.name]) },
  ];
  const change = async (values: Values) => {
    const tags = (given(values, "tags") ?? "").split(/\s*,\s*/).filter(Boolean);
    const subscribe = many(values, "subscribe").map(Number);
    await got(client.PATCH("/v1/contacts/{id}", { params: { path }, body: {
      name: given(values, "name") ?? "", language: given(values, "language") ?? "", time_zone: given(values, "time_zone") ?? "", fields: valuesGiven(known, values, contact),
      tags: tags.filter((tag) => !contact.tags?.includes(tag)), untag: (contact.tags ?? []).filter((tag) => !tags.includes(tag)),
      subscribe, unsubscribe: many(values, "unsubscribe").map(Number), consent: consentOf(values),
    } }));
  };
  const remove = async () => {
    await got(client.DELETE("/v1/contacts/{id}", { params: { path } }));
    tell(t("contact.removed"));
    await queryClient.invalidateQueries();
    await navigate({ to: "/contacts", search: {} });
  };
  const erase = async () => {
    const { mails } = await got(client.POST("/v1/contacts/{id}/erase", { params: { path } }));
    tell(t("contact.erased", { n: mails }));
    await queryClient.invalidateQueries();
    await navigate({ to: "/contacts", search: {} });
  };
  return (
    <>
      <Button onClick={() => setEditing(true)}>{t("act.change")}</Button>
      <Button icon="download" onClick={() => void handedOver(contact)}>{t("contact.export")}</Button>
      <Button look="danger" onClick={() => ask({ title: t("contact.remove"), text: t("contact.remove_text", { email: contact.email }), button: t("contact.remove"), danger: true, act: remove })}>{t("contact.remove")}</Button>
      <Button look="danger" onClick={() => ask({ title: t("contact.erase"), text: t("contact.erase_text", { email: contact.email }), button: t("contact.erase"), danger: true, act: erase })}>{t("contact.erase")}</Button>
      {editing && <FormDialog close={() => setEditing(false)} title={contact.email} fields={fields} button={t("act.save")} done={t("act.saved")} submit={change} />}
      {question}
    </>
  );
}
