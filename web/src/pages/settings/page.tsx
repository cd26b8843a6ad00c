// One's own account: password, second factor, sessions; and how the panel looks.
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Badge, Button, Card, Copy, Notice, PageHead, When } from "../../parts/basic";
import { Dialog, useQuestion } from "../../parts/dialog";
import { type Field, Form, given, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { FormDialog } from "../../parts/maker";
import { Tabs } from "../../parts/tabs";
import { tell } from "../../parts/toast";
import { Hosts } from "./hosts";

export function Page() {
  const { may, who, organization } = useSession();
  const tabs = [
    { name: "account", title: t("settings.account"), draw: () => <div className="grid wide"><Password /><Factor /></div> },
    { name: "sessions", title: t("settings.sessions"), draw: () => <Sessions /> },
    ...(may("installation") ? [{ name: "hosts", title: t("hosts.title"), draw: () => <Hosts /> }, { name: "daemon", title: t("settings.daemon"), draw: () => <Daemon /> }] : []),
  ];
  return (
    <>
      <PageHead title={t("settings.title")} text={who.email ?? who.name}>
        {organization !== null && may("settings_read") && <Link to="/organizations/$id" params={{ id: String(organization) }} search={{}} className="button">{t("organization.title")}</Link>}
      </PageHead>
      <Tabs label={t("settings.title")} tabs={tabs} />
    </>
  );
}

function Password() {
  const { who } = useSession();
  const queryClient = useQueryClient();
  const [round, setRound] = useState(0);
  const fields: Field[] = [
    { name: "current", label: t("settings.current"), kind: "password", required: true, complete: "current-password" },
    { name: "new", label: t("settings.new"), kind: "password", required: true, complete: "new-password", hint: t("setup.password_hint") },
    { name: "code", label: t("session.code"), required: true, complete: "one-time-code", shown: () => who.second_factor },
  ];
  const change = async (values: Values) => {
    await got(client.POST("/v1/account/password", { body: { current: String(values.current), new: String(values.new), code: given(values, "code") } }));
    tell(t("settings.password_changed"));
    setRound(round + 1);
    await queryClient.invalidateQueries();
  };
  return <Card title={t("settings.password")}><Form key={round} fields={fields} button={t("settings.change_password")} submit={change} /></Card>;
}

function Factor() {
  const { who } = useSession();
  const [offer, setOffer] = useState<Schemas["Factor"] | null>(null);
  const [removing, setRemoving] = useState(false);
  const begin = async () => setOffer(await got(client.POST("/v1/account/totp")));
  const remove = async (values: Values) => {
    await got(client.POST("/v1/account/totp/remove", { body: { password: String(values.password), code: given(values, "code") ?? "" } }));
  };
  return (
    <Card title={t("settings.factor")} actions={who.second_factor ? <Badge tone="good">{t("users.has_factor")}</Badge> : <Badge tone="warn">{t("users.no_factor")}</Badge>}>
      <div className="stack">
        <p>{t("settings.factor_text")}</p>
        <div className="row">
          {who.second_factor ? <Button look="danger" onClick={() => setRemoving(true)}>{t("settings.factor_remove")}</Button> : <Button look="main" onClick={() => void begin()}>{t("settings.factor_begin")}</Button>}
        </div>
      </div>
      {offer && <Confirm offer={offer} close={() => setOffer(null)} />}
      {removing && <FormDialog close={() => setRemoving(false)} title={t("settings.factor_remove")} fields={[{ name: "password", label: t("session.password"), kind: "password", required: true, complete: "current-password" }, { name: "code", label: t("session.code"), required: true, complete: "one-time-code" }]} button={t("settings.factor_remove")} done={t("settings.factor_removed")} submit={remove} />}
    </Card>
  );
}

function Confirm({ offer, close }: { offer: Schemas["Factor"]; close: () => void }) {
  const [codes, setCodes] = useState<string[] | null>(null);
  const queryClient = useQueryClient();
  const confirm = async (values: Values) => {
    const answer = await got(client.POST("/v1/account/totp/confirm", { body: { code: given(values, "code") ?? "" } }));
    setCodes(answer.recovery_codes);
    await queryClient.invalidateQueries();
  };
  return (
    <Dialog open close={close} title={t("settings.factor_begin")} text={codes ? undefined : t("settings.factor_how")}>
      {codes ? (
        <>
          <Notice tone="warn">{t("settings.codes_once")}</Notice>
          <Copy text={codes.join(" ")} label={t("settings.codes")} />
          <div className="ends"><Button look="main" onClick={close}>{t("act.done")}</Button></div>
        </>
      ) : (
        <>
          <Copy text={offer.secret} label={t("settings.factor_secret")} />
          <a href={offer.url}>{t("settings.factor_open")}</a>
          <Form fields={[{ name: "code", label: t("session.code"), required: true, complete: "one-time-code" }]} button={t("settings.factor_confirm")} submit={confirm} cancel={close} />
        </>
      )}
    </Dialog>
  );
}

type Session = Schemas["SessionRow"];

function Sessions() {
  const queryClient = useQueryClient();
  const [ask, question] = useQuestion();
  const columns: Column<Session>[] = [
    { title: t("settings.browser"), cell: (row) => <span className="break">{row.agent || "–"}</span>, text: (row) => row.agent },
    { title: t("settings.address"), cell: (row) => row.address },
    { title: t("settings.seen"), cell: (row) => <When at={row.seen_at} />, text: (row) => new Date(row.seen_at / 1000).toISOString() },
    { title: t("settings.ends"), cell: (row) => <When at={row.expires_at} />, text: (row) => new Date(row.expires_at / 1000).toISOString() },
  ];
  const end = async (row: Session) => {
    await got(client.DELETE("/v1/account/sessions/{id}", { params: { path: { id: row.id } } }));
    tell(t("settings.ended"));
    await queryClient.invalidateQueries();
  };
  return (
    <>
      <List whole name="sessions" label={t("settings.sessions")} load={() => got(client.GET("/v1/account/sessions"))} columns={columns} id={(row) => row.id} actions={(row) => [{ text: t("settings.end"), danger: true, act: () => ask({ title: t("settings.end"), text: t("settings.end_text", { address: row.address }), button: t("settings.end"), danger: true, act: () => end(row) }) }]} empty={{ title: t("settings.no_sessions") }} />
      {question}
    </>
  );
}

function Daemon() {
  const [taken, setTaken] = useState<Schemas["Reload"] | null>(null);
  const [found, setFound] = useState<Schemas["Findings"] | null>(null);
  const [ask, question] = useQuestion();
  const reload = async () => setTaken(await got(client.POST("/v1/reload")));
  const check = async () => setFound(await got(client.GET("/v1/check")));
  return (
    <div className="grid wide">
      <Card title={t("settings.reload")}>
        <div className="stack">
          <p>{t("settings.reload_text")}</p>
          <div className="row"><Button onClick={() => ask({ title: t("settings.reload"), text: t("settings.reload_text"), button: t("settings.reload"), act: reload })}>{t("settings.reload")}</Button></div>
          {taken && <Notice tone={taken.needs_restart.length > 0 ? "warn" : "good"}>{t("settings.reloaded", { taken: taken.taken.join(", ") || "–", restart: taken.needs_restart.join(", ") || "–" })}</Notice>}
        </div>
      </Card>
      <Card title={t("settings.check")}>
        <div className="stack">
          <p>{t("settings.check_text")}</p>
          <div className="row"><Button onClick={() => ask({ title: t("settings.check"), text: t("settings.check_text"), button: t("settings.check"), act: check })}>{t("settings.check")}</Button></div>
          {found && <Notice tone={found.wrong.length > 0 ? "bad" : "good"}>{found.wrong.length > 0 ? found.wrong.join(" · ") : t("settings.whole", { n: found.census.accepted, bodies: found.bodies })}</Notice>}
        </div>
      </Card>
      {question}
    </div>
  );
}
