// Lists that people subscribe to, and the fields that contacts have.
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, PageHead } from "../../parts/basic";
import { type Field, given, lines, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { FormDialog, Maker } from "../../parts/maker";
import { Tabs } from "../../parts/tabs";
import { options } from "../../parts/words";

type Row = Schemas["ListView"];

const KINDS: Schemas["FieldKind"][] = ["text", "number", "date", "birthday", "boolean", "choice", "multi_choice", "url", "json"];

function fields(list?: Row): Field[] {
  return [
    { name: "name", label: t("lists.name"), required: true, value: list?.name },
    { name: "description", label: t("lists.description"), kind: "area", value: list?.description },
    { name: "opt_in", label: t("lists.opt_in"), kind: "select", options: options("opt_in", ["double", "single"]), value: list?.opt_in ?? "double", hint: t("lists.opt_in_hint") },
    { name: "visibility", label: t("lists.visibility"), kind: "select", options: options("visibility", ["private", "public"]), value: list?.visibility ?? "private" },
  ];
}

function input(values: Values): Schemas["ListInput"] {
  return { name: given(values, "name") ?? "", description: given(values, "description") ?? "", opt_in: values.opt_in as Row["opt_in"], visibility: values.visibility as Row["visibility"] };
}

export function Page() {
  const tabs = [
    { name: "lists", title: t("lists.title"), draw: () => <Lists /> },
    { name: "fields", title: t("fields.title"), draw: () => <Fields /> },
  ];
  const { may } = useSession();
  return (
    <>
      <PageHead title={t("lists.title")} text={t("lists.text")}>
        {may("contacts_write") && <Maker label={t("lists.add")} title={t("lists.add")} fields={fields()} button={t("lists.add")} done={t("lists.added")} submit={async (values) => { await got(client.POST("/v1/lists", { body: input(values) })); }} />}
      </PageHead>
      <Tabs label={t("lists.title")} tabs={tabs} />
    </>
  );
}

function Lists() {
  const { may } = useSession();
  const [changing, setChanging] = useState<Row | null>(null);
  const columns: Column<Row>[] = [
    { title: t("lists.name"), cell: (row) => <><Link to="/lists/$id" params={{ id: String(row.id) }} search={{}}>{row.name}</Link><div className="sub">{row.description}</div></>, text: (row) => row.name },
    { title: t("lists.subscribed"), cell: (row) => row.subscribed.toLocaleString(), number: true },
    { title: t("lists.unconfirmed"), cell: (row) => row.unconfirmed.toLocaleString(), number: true },
    { title: t("lists.unsubscribed"), cell: (row) => row.unsubscribed.toLocaleString(), number: true },
    { title: t("lists.opt_in"), cell: (row) => <Badge>{word("opt_in", row.opt_in)}</Badge>, text: (row) => row.opt_in },
    { title: t("lists.visibility"), cell: (row) => word("visibility", row.visibility), text: (row) => row.visibility },
  ];
  const change = async (values: Values) => {
    if (changing) await got(client.PUT("/v1/lists/{id}", { params: { path: { id: changing.id } }, body: input(values) }));
  };
  return (
    <>
      <List whole name="lists" label={t("lists.title")} load={() => got(client.GET("/v1/lists"))} columns={columns} id={(row) => row.id} actions={may("contacts_write") ? (row) => [{ text: t("act.change"), act: () => setChanging(row) }] : undefined} empty={{ title: t("lists.empty"), text: t("lists.empty_text") }} />
      {changing && <FormDialog close={() => setChanging(null)} title={changing.name} fields={fields(changing)} button={t("act.save")} done={t("act.saved")} submit={change} />}
    </>
  );
}

function Fields() {
  const { may } = useSession();
  const columns: Column<Schemas["FieldView"]>[] = [
    { title: t("fields.name"), cell: (row) => <><span className="mono">{row.name}</span><div className="sub">{row.label}</div></>, text: (row) => row.name },
    { title: t("fields.kind"), cell: (row) => word("field_kind", row.kind), text: (row) => row.kind },
    { title: t("fields.choices"), cell: (row) => row.choices.join(", ") },
    { title: t("fields.fast"), cell: (row) => row.fast ? <Badge tone="good">{t("fields.indexed")}</Badge> : "", text: (row) => String(row.fast) },
  ];
  const form: Field[] = [
    { name: "name", label: t("fields.name"), required: true, placeholder: "city", hint: t("fields.name_hint") },
    { name: "label", label: t("fields.label") },
    { name: "kind", label: t("fields.kind"), kind: "select", options: options("field_kind", KINDS) },
    { name: "choices", label: t("fields.choices"), kind: "lines", required: true, shown: (values) => ["choice", "multi_choice"].includes(String(values.kind)) },
  ];
  const add = async (values: Values) => {
    await got(client.POST("/v1/contact-fields", { body: { name: given(values, "name") ?? "", label: given(values, "label"), kind: values.kind as Schemas["FieldKind"], choices: lines(values, "choices") } }));
  };
  return (
    <>
      {may("contacts_write") && <div className="row"><Maker label={t("fields.add")} title={t("fields.add")} fields={form} button={t("fields.add")} done={t("fields.added")} submit={add} /></div>}
      <List whole name="fields" label={t("fields.title")} load={() => got(client.GET("/v1/contact-fields"))} columns={columns} id={(row) => row.id} empty={{ title: t("fields.empty"), text: t("fields.empty_text") }} />
    </>
  );
}
