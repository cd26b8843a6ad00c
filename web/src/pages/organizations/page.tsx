// Tenants of the installation, and their streams.
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, Button, PageHead, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { given, type Values } from "../../parts/form";
import { type Column, List, says } from "../../parts/list";
import { Maker } from "../../parts/maker";
import { Tabs } from "../../parts/tabs";
import { options } from "../../parts/words";
import { Suspending, useResume } from "./suspend";

type Row = Schemas["OrganizationRow"];

export function Page() {
  const tabs = [
    { name: "organizations", title: t("organizations.title"), draw: () => <Organizations /> },
    { name: "streams", title: t("streams.title"), draw: () => <Streams /> },
  ];
  const add = async (values: Values) => {
    await got(client.POST("/v1/organizations", { body: { name: given(values, "name") ?? "" } }));
  };
  return (
    <>
      <PageHead title={t("organizations.title")} text={t("organizations.text")}>
        <Maker label={t("organizations.add")} title={t("organizations.add")} fields={[{ name: "name", label: t("organizations.name"), required: true }]} button={t("organizations.add")} done={t("organizations.added")} submit={add} />
      </PageHead>
      <Tabs label={t("organizations.title")} tabs={tabs} />
    </>
  );
}

function Organizations() {
  const { choose, organization } = useSession();
  const [suspending, setSuspending] = useState<Row | null>(null);
  const [ask, question] = useQuestion();
  const resume = useResume(ask);
  const columns: Column<Row>[] = [
    { title: t("organizations.name"), cell: (row) => <><Link to="/organizations/$id" params={{ id: String(row.id) }} search={{}}>{row.name}</Link>{row.capture && <> <Badge tone="warn">{t("organizations.captures")}</Badge></>}</>, text: (row) => row.name },
    { title: t("messages.state"), cell: (row) => row.suspended_at ? <><Badge tone="bad">{t("organizations.suspended")}</Badge><div className="sub">{row.suspended_reason}</div></> : <Badge tone="good">{t("organizations.active")}</Badge>, text: (row) => row.suspended_at ? "suspended" : "active" },
    { title: t("users.since"), cell: (row) => row.created_at === 0 ? "–" : <When at={row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
    { title: t("classification.act"), cell: (row) => row.id === organization ? <Badge tone="info">{t("organizations.chosen")}</Badge> : <Button small onClick={() => choose(row.id)}>{t("organizations.choose")}</Button>, text: () => "" },
  ];
  return (
    <>
      <List whole name="organizations" label={t("organizations.title")} load={() => got(client.GET("/v1/organizations"))} filters={[{ name: "state", label: t("messages.state"), kind: "select", options: [["active", t("organizations.active")], ["suspended", t("organizations.suspended")]] }]} keeps={(row, search) => says(search.state, row.suspended_at ? "suspended" : "active")} columns={columns} id={(row) => row.id} actions={(row) => [row.suspended_at ? { text: t("organizations.resume"), act: () => resume(row) } : { text: t("organizations.suspend"), danger: true, act: () => setSuspending(row) }]} empty={{ title: t("organizations.empty") }} />
      {suspending && <Suspending of={suspending} close={() => setSuspending(null)} />}
      {question}
    </>
  );
}

function Streams() {
  const columns: Column<Schemas["StreamRow"]>[] = [
    { title: t("streams.name"), cell: (row) => row.name },
    { title: t("streams.class"), cell: (row) => <Badge>{word("class_of", row.class)}</Badge>, text: (row) => row.class },
  ];
  const add = async (values: Values) => {
    await got(client.POST("/v1/streams", { body: { name: given(values, "name") ?? "", class: values.class as Schemas["StreamClass"] } }));
  };
  return (
    <>
      <div className="row"><Maker label={t("streams.add")} title={t("streams.add")} fields={[{ name: "name", label: t("streams.name"), required: true }, { name: "class", label: t("streams.class"), kind: "select", options: options("class_of", ["marketing", "transactional"]), hint: t("streams.class_hint") }]} button={t("streams.add")} done={t("streams.added")} submit={add} /></div>
      <List whole name="streams" label={t("streams.title")} load={() => got(client.GET("/v1/streams"))} filters={[{ name: "class", label: t("streams.class"), kind: "select", options: options("class_of", ["marketing", "transactional"]) }]} keeps={(row, search) => says(search.class, row.class)} columns={columns} id={(row) => row.id} empty={{ title: t("streams.empty") }} />
    </>
  );
}
