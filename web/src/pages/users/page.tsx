// Who belongs to the organization, as what; and who is asked to.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, Copy, Notice, PageHead, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { type Field, given, type Values } from "../../parts/form";
import { asked, byWords, type Column, List } from "../../parts/list";
import { FormDialog, Maker } from "../../parts/maker";
import { Tabs } from "../../parts/tabs";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";

type Member = Schemas["MemberRow"];

const ROLES: Schemas["Role"][] = ["owner", "admin", "deliverability", "marketer", "developer", "read_only"];

function roleField(value?: string): Field {
  return { name: "role", label: t("users.role"), kind: "select", options: options("role", ROLES), value: value ?? "read_only", hint: t("users.role_hint") };
}

export function Page() {
  const { may } = useSession();
  const tabs = [
    { name: "members", title: t("users.members"), draw: () => <Members /> },
    { name: "invites", title: t("users.invites"), draw: () => <Invites /> },
    ...(may("installation") ? [{ name: "everybody", title: t("users.everybody"), draw: () => <Everybody /> }] : []),
  ];
  return (
    <>
      <PageHead title={t("users.title")} text={t("users.text")}>{may("people_write") && <Inviting />}</PageHead>
      <Tabs label={t("users.title")} tabs={tabs} />
    </>
  );
}

function Inviting() {
  const invite = async (values: Values) => {
    const made = await got(client.POST("/v1/invites", { body: { email: given(values, "email") ?? "", role: values.role as Schemas["Role"] } }));
    const link = `${location.origin}/invite?token=${encodeURIComponent(made.token)}`;
    return <><Notice tone="warn">{t("users.link_once")}</Notice><Copy text={link} /></>;
  };
  return <Maker label={t("users.invite")} title={t("users.invite")} text={t("users.invite_text")} fields={[{ name: "email", label: t("session.email"), kind: "email", required: true }, roleField()]} button={t("users.invite")} submit={invite} />;
}

function Members() {
  const { may, who } = useSession();
  const [changing, setChanging] = useState<Member | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Member>[] = [
    { title: t("users.person"), cell: (row) => <><strong>{row.name || row.email}</strong>{row.user === who.user && <> <Badge>{t("users.you")}</Badge></>}<div className="sub">{row.email}</div></>, text: (row) => row.email },
    { title: t("users.role"), cell: (row) => word("role", row.role), text: (row) => row.role },
    { title: t("users.since"), cell: (row) => <When at={row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
  ];
  const at = (row: Member) => ({ params: { path: { id: row.user } } });
  const remove = async (row: Member) => {
    await got(client.DELETE("/v1/users/{id}", at(row)));
    tell(t("users.removed"));
    await queryClient.invalidateQueries();
  };
  const actions = (row: Member) => [
    { text: t("users.change_role"), act: () => setChanging(row) },
    { text: t("users.remove"), danger: true, act: () => ask({ title: t("users.remove"), text: t("users.remove_text", { email: row.email }), button: t("users.remove"), danger: true, act: () => remove(row) }) },
  ];
  return (
    <>
      <List name="users" label={t("users.members")} load={(search, cursor) => got(client.GET("/v1/users", { params: { query: { ...asked(search, cursor), role: search.role as Schemas["Role"] | undefined } } }))} filters={[byWords(), { name: "role", label: t("users.role"), kind: "select", options: options("role", ROLES) }]} columns={columns} id={(row) => row.user} actions={may("people_write") ? actions : undefined} empty={{ title: t("users.empty"), text: t("users.empty_text") }} />
      {changing && <FormDialog close={() => setChanging(null)} title={changing.email} fields={[roleField(changing.role)]} button={t("act.save")} done={t("act.saved")} submit={async (values) => { await got(client.PATCH("/v1/users/{id}", { ...at(changing), body: { role: values.role as Schemas["Role"] } })); }} />}
      {question}
    </>
  );
}

function Invites() {
  const { may } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Schemas["InviteRow"]>[] = [
    { title: t("session.email"), cell: (row) => row.email },
    { title: t("users.role"), cell: (row) => word("role", row.role), text: (row) => row.role },
    { title: t("users.expires"), cell: (row) => <When at={row.expires_at} />, text: (row) => new Date(row.expires_at / 1000).toISOString() },
  ];
  const withdraw = async (id: number) => {
    await got(client.DELETE("/v1/invites/{id}", { params: { path: { id } } }));
    tell(t("users.withdrawn"));
    await queryClient.invalidateQueries();
  };
  return (
    <>
      <List whole name="invites" label={t("users.invites")} load={() => got(client.GET("/v1/invites"))} columns={columns} id={(row) => row.id} actions={may("people_write") ? (row) => [{ text: t("users.withdraw"), danger: true, act: () => ask({ title: t("users.withdraw"), text: t("users.withdraw_text", { email: row.email }), button: t("users.withdraw"), danger: true, act: () => withdraw(row.id) }) }] : undefined} empty={{ title: t("users.no_invites"), text: t("users.no_invites_text") }} />
      {question}
    </>
  );
}

function userFields(): Field[] {
  return [
    { name: "email", label: t("session.email"), kind: "email", required: true },
    { name: "name", label: t("setup.name") },
    { name: "password", label: t("session.password"), kind: "password", required: true, complete: "new-password", hint: t("setup.password_hint") },
    { name: "installation_admin", label: t("users.make_admin"), kind: "check", hint: t("users.make_admin_hint") },
    { ...roleField(), hint: t("users.make_role_hint"), shown: (values) => values.installation_admin !== true },
  ];
}

/** Without an invitation; whoever is no admin of all gets a role in the organization that is worked in. */
async function make(values: Values) {
  const isAdmin = values.installation_admin === true;
  await got(client.POST("/v1/installation/users", { body: { email: given(values, "email") ?? "", name: given(values, "name"), password: String(values.password), installation_admin: isAdmin, role: isAdmin ? undefined : (values.role as Schemas["Role"]) } }));
}

function Everybody() {
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Schemas["UserView"]>[] = [
    { title: t("users.person"), cell: (row) => <><strong>{row.name || row.email}</strong><div className="sub">{row.email}</div></>, text: (row) => row.email },
    { title: t("users.admin"), cell: (row) => row.installation_admin ? <Badge tone="info">{t("users.admin")}</Badge> : "", text: (row) => String(row.installation_admin) },
    { title: t("users.factor"), cell: (row) => row.second_factor ? <Badge tone="good">{t("users.has_factor")}</Badge> : <Badge>{t("users.no_factor")}</Badge>, text: (row) => String(row.second_factor) },
    { title: t("messages.state"), cell: (row) => row.disabled ? <Badge tone="bad">{t("users.disabled")}</Badge> : "", text: (row) => String(row.disabled) },
  ];
  const disable = async (id: number) => {
    await got(client.POST("/v1/installation/users/{id}/disable", { params: { path: { id } } }));
    await queryClient.invalidateQueries();
  };
  return (
    <>
      <div className="row"><Maker label={t("users.make")} title={t("users.make")} text={t("users.make_text")} fields={userFields()} button={t("users.make")} done={t("users.made")} submit={make} /></div>
      <List name="everybody" label={t("users.everybody")} load={(search, cursor) => got(client.GET("/v1/installation/users", { params: { query: { ...asked(search, cursor) } } }))} filters={[byWords()]} columns={columns} id={(row) => row.id} actions={(row) => row.disabled ? [] : [{ text: t("users.disable"), danger: true, act: () => ask({ title: t("users.disable"), text: t("users.disable_text", { email: row.email }), button: t("users.disable"), danger: true, act: () => disable(row.id) }) }]} empty={{ title: t("users.empty"), text: t("users.empty_text") }} />
      {question}
    </>
  );
}
