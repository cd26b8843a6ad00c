// The fields that contacts have: which are encrypted, and by which key.
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, Notice } from "../../parts/basic";
import { type Field, given, lines, type Values } from "../../parts/form";
import { type Column, List, says } from "../../parts/list";
import { FormDialog, Maker } from "../../parts/maker";
import { options } from "../../parts/words";
import { Keys } from "./keys";

type Row = Schemas["FieldView"];

const KINDS: Schemas["FieldKind"][] = ["text", "number", "date", "birthday", "boolean", "choice", "multi_choice", "url", "json"];

function columns(): Column<Row>[] {
  return [
    { title: t("fields.name"), cell: (row) => <><span className="mono">{row.name}</span><div className="sub">{row.label}</div></>, text: (row) => row.name },
    { title: t("fields.kind"), cell: (row) => word("field_kind", row.kind), text: (row) => row.kind },
    { title: t("fields.choices"), cell: (row) => row.choices.join(", ") },
    { title: t("fields.fast"), cell: (row) => search(row), text: (row) => (row.encrypted ? "encrypted" : row.fast ? "fast" : "") },
  ];
}

function search(row: Row) {
  if (row.encrypted) return <><Badge tone="info">{t("fields.encrypted")}</Badge><div className="sub">{t("fields.encrypted_search")}</div></>;
  return row.fast ? <Badge tone="good">{t("fields.indexed")}</Badge> : "";
}

const hasChoices = (kind: unknown) => kind === "choice" || kind === "multi_choice";

function form(): Field[] {
  return [
    { name: "name", label: t("fields.name"), required: true, placeholder: "city", hint: t("fields.name_hint") },
    { name: "label", label: t("fields.label") },
    { name: "kind", label: t("fields.kind"), kind: "select", options: options("field_kind", KINDS) },
    { name: "choices", label: t("fields.choices"), kind: "lines", required: true, shown: (values) => hasChoices(values.kind) },
    { name: "encrypted", label: t("fields.encrypt"), kind: "check", hint: t("fields.encrypt_hint") },
  ];
}

async function add(values: Values) {
  const choices = hasChoices(values.kind) ? lines(values, "choices") : [];
  await got(client.POST("/v1/contact-fields", { body: { name: given(values, "name") ?? "", label: given(values, "label"), kind: values.kind as Row["kind"], choices, encrypted: values.encrypted === true } }));
}

export function Fields() {
  const { may } = useSession();
  const [changing, setChanging] = useState<Row | null>(null);
  const known = api.useQuery("get", "/v1/contact-fields");
  const isSealed = known.data?.items.some((field) => field.encrypted) ?? false;
  return (
    <>
      {isSealed && <Notice tone={may("contacts_reveal") ? "info" : "plain"}>{may("contacts_reveal") ? t("fields.you_see") : t("fields.you_see_not", { permission: word("permission", "contacts_reveal") })}</Notice>}
      {may("contacts_write") && <div className="row"><Maker label={t("fields.add")} title={t("fields.add")} fields={form()} button={t("fields.add")} done={t("fields.added")} submit={add} /></div>}
      <List whole name="fields" label={t("fields.title")} load={() => got(client.GET("/v1/contact-fields"))} filters={[{ name: "kind", label: t("fields.kind"), kind: "select", options: options("field_kind", KINDS) }]} keeps={(row, search) => says(search.kind, row.kind)} columns={columns()} id={(row) => row.id} actions={may("contacts_write") ? (row) => [{ text: t("act.change"), act: () => setChanging(row) }] : undefined} empty={{ title: t("fields.empty"), text: t("fields.empty_text") }} />
      {changing && <Change field={changing} close={() => setChanging(null)} />}
      {may("installation") && <Keys />}
    </>
  );
}

function Change({ field, close }: { field: Row; close: () => void }) {
  const fields: Field[] = [
    { name: "label", label: t("fields.label"), required: true, value: field.label },
    ...(hasChoices(field.kind) ? [{ name: "choices", label: t("fields.choices"), kind: "lines", required: true, value: field.choices.join("\n"), hint: t("fields.choices_hint") } satisfies Field] : []),
  ];
  const change = async (values: Values) => {
    const choices = hasChoices(field.kind) ? lines(values, "choices") : undefined;
    await got(client.PATCH("/v1/contact-fields/{name}", { params: { path: { name: field.name } }, body: { label: given(values, "label"), choices } }));
  };
  return <FormDialog close={close} title={t("fields.change_of", { name: field.name })} text={t("fields.change_text")} fields={fields} button={t("act.save")} done={t("act.saved")} submit={change} />;
}
