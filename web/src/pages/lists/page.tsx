// Lists that people subscribe to, and the fields that contacts have.
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, PageHead } from "../../parts/basic";
import { type Field, given, type Values } from "../../parts/form";
import { type Column, List, says } from "../../parts/list";
import { FormDialog, Maker } from "../../parts/maker";
import { Tabs } from "../../parts/tabs";
import { options } from "../../parts/words";
import { Domains } from "./domains";
import { Fields } from "./fields";

type Row = Schemas["ListView"];

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
    { name: "domains", title: t("contact_domains.title"), draw: () => <Domains /> },
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
      <List whole name="lists" label={t("lists.title")} load={() => got(client.GET("/v1/lists"))} filters={[{ name: "opt_in", label: t("lists.opt_in"), kind: "select", options: options("opt_in", ["double", "single"]) }, { name: "visibility", label: t("lists.visibility"), kind: "select", options: options("visibility", ["private", "public"]) }]} keeps={(row, search) => says(search.opt_in, row.opt_in) && says(search.visibility, row.visibility)} columns={columns} id={(row) => row.id} actions={may("contacts_write") ? (row) => [{ text: t("act.change"), act: () => setChanging(row) }] : undefined} empty={{ title: t("lists.empty"), text: t("lists.empty_text") }} />
      {changing && <FormDialog close={() => setChanging(null)} title={changing.name} fields={fields(changing)} button={t("act.save")} done={t("act.saved")} submit={change} />}
    </>
  );
}
