// Templates and the layouts around them.
import { Link } from "@tanstack/react-router";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, Button, PageHead, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { type Field, given, type Values } from "../../parts/form";
import { asked, byWords, type Column, List } from "../../parts/list";
import { options } from "../../parts/words";
import { FormDialog } from "../../parts/maker";
import { Tabs } from "../../parts/tabs";
import { tell } from "../../parts/toast";

export function Page() {
  const { may } = useSession();
  const tabs = [
    { name: "templates", title: t("templates.title"), draw: () => <Templates /> },
    { name: "layouts", title: t("layouts.title"), draw: () => <Layouts /> },
    { name: "blocks", title: t("saved.title"), draw: () => <SavedBlocks /> },
  ];
  return (
    <>
      <PageHead title={t("templates.title")} text={t("templates.text")}>
        {may("campaigns_write") && <Link to="/templates/$id" params={{ id: "new" }} className="button">{t("templates.add")}</Link>}
        {may("campaigns_write") && <Link to="/templates/visual" className="button main-one">{t("templates.add_visual")}</Link>}
      </PageHead>
      <Tabs label={t("templates.title")} tabs={tabs} />
    </>
  );
}

function Templates() {
  const { may } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Schemas["TemplateRow"]>[] = [
    { title: t("templates.name"), cell: (row) => <><Link to="/templates/$id" params={{ id: String(row.id) }}>{row.name}</Link><div className="sub">{row.subject}</div></>, text: (row) => row.name },
    { title: t("templates.kind"), cell: (row) => <Badge>{word("template_kind", row.kind)}</Badge>, text: (row) => row.kind },
    { title: t("templates.revision"), cell: (row) => row.revision, number: true },
    { title: t("segments.changed"), cell: (row) => <When at={row.updated_at} />, text: (row) => new Date(row.updated_at / 1000).toISOString() },
  ];
  const remove = async (id: number) => {
    await got(client.DELETE("/v1/templates/{id}", { params: { path: { id } } }));
    tell(t("templates.removed"));
    await queryClient.invalidateQueries();
  };
  return (
    <>
      <List name="templates" label={t("templates.title")} load={(search, cursor) => got(client.GET("/v1/templates", { params: { query: { ...asked(search, cursor), kind: search.kind as Schemas["TemplateKind"] | undefined } } }))} filters={[byWords(), { name: "kind", label: t("templates.kind"), kind: "select", options: options("template_kind", ["html", "markdown", "mjml", "document"]) }]} columns={columns} id={(row) => row.id} actions={may("campaigns_write") ? (row) => [{ text: t("templates.remove"), danger: true, act: () => ask({ title: t("templates.remove"), text: t("templates.remove_text", { name: row.name }), button: t("templates.remove"), danger: true, act: () => remove(row.id) }) }] : undefined} empty={{ title: t("templates.empty"), text: t("templates.empty_text") }} />
      {question}
    </>
  );
}

type Layout = Schemas["LayoutRow"];

const FIRST_LAYOUT = '<!doctype html>\n<html>\n<body style="font-family: sans-serif">\n{{ content }}\n<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>\n</body>\n</html>\n';

function Layouts() {
  const { may } = useSession();
  const [open, setOpen] = useState<Partial<Layout> | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Layout>[] = [
    { title: t("templates.name"), cell: (row) => row.name },
    { title: t("segments.changed"), cell: (row) => <When at={row.updated_at} />, text: (row) => new Date(row.updated_at / 1000).toISOString() },
  ];
  const fields: Field[] = [
    { name: "name", label: t("templates.name"), required: true, value: open?.name },
    { name: "body", label: t("layouts.body"), kind: "code", required: true, value: open?.body ?? FIRST_LAYOUT, hint: t("layouts.hint") },
  ];
  const save = async (values: Values) => {
    const body = { name: given(values, "name") ?? "", body: String(values.body) };
    if (open?.id === undefined) await got(client.POST("/v1/layouts", { body }));
    else await got(client.PUT("/v1/layouts/{id}", { params: { path: { id: open.id } }, body }));
  };
  const remove = async (id: number) => {
    await got(client.DELETE("/v1/layouts/{id}", { params: { path: { id } } }));
    await queryClient.invalidateQueries();
  };
  const writes = may("campaigns_write");
  return (
    <>
      {writes && <div className="row"><Button icon="plus" onClick={() => setOpen({})}>{t("layouts.add")}</Button></div>}
      <List whole name="layouts" label={t("layouts.title")} load={() => got(client.GET("/v1/layouts"))} columns={columns} id={(row) => row.id} actions={writes ? (row) => [{ text: t("act.change"), act: () => setOpen(row) }, { text: t("layouts.remove"), danger: true, act: () => ask({ title: t("layouts.remove"), text: t("templates.remove_text", { name: row.name }), button: t("layouts.remove"), danger: true, act: () => remove(row.id) }) }] : undefined} empty={{ title: t("layouts.empty"), text: t("layouts.empty_text") }} />
      {open && <FormDialog broad close={() => setOpen(null)} title={open.name ?? t("layouts.add")} fields={fields} button={t("act.save")} done={t("act.saved")} submit={save} />}
      {question}
    </>
  );
}

type Saved = Schemas["SavedBlocksView"];

function SavedBlocks() {
  const { may } = useSession();
  const [open, setOpen] = useState<Saved | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Saved>[] = [
    { title: t("templates.name"), cell: (row) => row.name },
    { title: t("saved.holds"), cell: (row) => row.blocks.map((block) => word("block", block.type)).join(", ") },
    { title: t("segments.changed"), cell: (row) => <When at={row.updated_at} />, text: (row) => new Date(row.updated_at / 1000).toISOString() },
  ];
  const rename = async (values: Values) => {
    if (open) await got(client.PUT("/v1/saved-blocks/{id}", { params: { path: { id: open.id } }, body: { name: given(values, "name") ?? "", blocks: open.blocks } }));
  };
  const remove = async (id: number) => {
    await got(client.DELETE("/v1/saved-blocks/{id}", { params: { path: { id } } }));
    await queryClient.invalidateQueries();
  };
  const actions = (row: Saved) => [
    { text: t("saved.rename"), act: () => setOpen(row) },
    { text: t("saved.remove"), danger: true, act: () => ask({ title: t("saved.remove"), text: t("templates.remove_text", { name: row.name }), button: t("saved.remove"), danger: true, act: () => remove(row.id) }) },
  ];
  return (
    <>
      <List whole name="saved-blocks" label={t("saved.title")} load={() => got(client.GET("/v1/saved-blocks"))} columns={columns} id={(row) => row.id} actions={may("campaigns_write") ? actions : undefined} empty={{ title: t("saved.empty"), text: t("saved.empty_text"), action: <Link to="/templates/visual" className="button">{t("templates.add_visual")}</Link> }} />
      {open && <FormDialog close={() => setOpen(null)} title={t("saved.rename")} fields={[{ name: "name", label: t("templates.name"), required: true, value: open.name }]} button={t("act.save")} done={t("act.saved")} submit={rename} />}
      {question}
    </>
  );
}
