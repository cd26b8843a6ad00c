// One endpoint: its state, the log of calls, and telling it again what it missed.
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { ofInput, toInput } from "../../lib/time";
import { Badge, Button, Card, Notice, PageHead, Pairs, When } from "../../parts/basic";
import { Concerned, counted } from "../../parts/concerned";
import { Dialog, useQuestion } from "../../parts/dialog";
import { given, many, type Values } from "../../parts/form";
import { asked, byWords, type Column, List } from "../../parts/list";
import { options } from "../../parts/words";
import { FormDialog } from "../../parts/maker";
import { Secret } from "../../parts/secret";
import { explain, Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { HookState, hookFields, useKinds, type Webhook } from "./page";

type Call = Schemas["CallView"];

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  const webhook = api.useQuery("get", "/v1/webhooks/{id}", { params: { path: { id: Number(id) } } }, { refetchInterval: 10_000 });
  return <Shown of={webhook}>{(data) => <Drawn webhook={data} />}</Shown>;
}

function Drawn({ webhook }: { webhook: Webhook }) {
  return (
    <>
      <PageHead title={webhook.name} text={<span className="break">{webhook.url}</span>}>
        <HookState webhook={webhook} />
        <Actions webhook={webhook} />
      </PageHead>
      {webhook.disabled_reason && <Notice tone="bad">{webhook.disabled_reason}</Notice>}
      <Card title={t("message.facts")}>
        <Pairs of={[
          [t("webhooks.kinds"), webhook.kinds.length === 0 ? t("webhooks.all") : webhook.kinds.map((kind) => word("event_of", kind)).join(", ")],
          [t("webhook.succeeded"), <When key="s" at={webhook.succeeded_at} absent={t("credentials.never")} />],
          [t("webhook.failed"), <When key="f" at={webhook.failed_at} absent={t("credentials.never")} />],
          [t("webhook.last_text"), webhook.last_text],
        ]} />
      </Card>
      <Calls webhook={webhook} />
    </>
  );
}

function Calls({ webhook }: { webhook: Webhook }) {
  const columns: Column<Call>[] = [
    { title: t("webhook.call"), cell: (row) => <><Badge tone={row.state === "delivered" ? "good" : row.state === "failed" ? "bad" : "info"}>{word("call_state", row.state)}</Badge> {row.status ?? ""}</>, text: (row) => `${row.state} ${row.status ?? ""}` },
    { title: t("webhook.events"), cell: (row) => row.events.length, number: true },
    { title: t("messages.answer"), cell: (row) => <span className="sub break">{row.text}</span>, text: (row) => row.text },
    { title: t("messages.tries"), cell: (row) => row.tries, number: true },
    { title: t("webhook.took"), cell: (row) => `${row.milliseconds} ms`, number: true },
    { title: t("webhook.at"), cell: (row) => <When at={row.ended_at ?? row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
  ];
  const load = (search: Record<string, string>, cursor: string | undefined) => got(client.GET("/v1/webhooks/{id}/calls", { params: { path: { id: webhook.id }, query: { ...asked(search, cursor), state: search.state as Call["state"] | undefined } } }));
  return <List name={`webhook-${webhook.id}-calls`} label={t("webhook.calls")} load={load} filters={[byWords(t("messages.answer")), { name: "state", label: t("messages.state"), kind: "select", options: options("call_state", ["waiting", "delivered", "failed"]) }]} columns={columns} id={(row) => row.id} every={5_000} empty={{ title: t("webhook.no_calls"), text: t("webhook.no_calls_text") }} />;
}

const DAY_MS = 86_400_000;

function Actions({ webhook }: { webhook: Webhook }) {
  const { may } = useSession();
  const kinds = useKinds();
  const [open, setOpen] = useState<"change" | "replay" | null>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  if (!may("webhooks_write")) return null;
  const at = { params: { path: { id: webhook.id } } };
  const test = async () => {
    try {
      const call = await got(client.POST("/v1/webhooks/{id}/test", at));
      tell(t("webhook.tested", { state: word("call_state", call.state), text: call.text }), call.state === "failed");
    } catch (error) {
      tell(explain(error), true);
    }
    await queryClient.invalidateQueries();
  };
  const turn = async () => {
    await got(client.PATCH("/v1/webhooks/{id}", { ...at, body: { enabled: !webhook.enabled } }));
    await queryClient.invalidateQueries();
  };
  const rotate = async () => setSecret((await got(client.POST("/v1/webhooks/{id}/rotate", at))).secret);
  const remove = async () => {
    await got(client.DELETE("/v1/webhooks/{id}", at));
    await navigate({ to: "/webhooks", search: {} });
    await queryClient.invalidateQueries();
  };
  const owed = () => counted((cursor) => got(client.GET("/v1/webhooks/{id}/calls", { params: { ...at.params, query: { state: "waiting", cursor } } })));
  const change = async (values: Values) => {
    await got(client.PATCH("/v1/webhooks/{id}", { ...at, body: { name: given(values, "name"), url: given(values, "url"), kinds: many(values, "kinds") as Webhook["kinds"] } }));
  };
  const replay = async (values: Values) => {
    const to = given(values, "to");
    const done = await got(client.POST("/v1/webhooks/{id}/replay", { ...at, body: { from: ofInput(String(values.from)) ?? 0, to: to ? ofInput(to) : undefined } }));
    tell(t("webhook.replayed", { n: done.events }));
  };
  return (
    <>
      <Button onClick={test}>{t("webhook.test")}</Button>
      <Button onClick={() => setOpen("replay")}>{t("webhook.replay")}</Button>
      <Button onClick={() => setOpen("change")}>{t("act.change")}</Button>
      <Button onClick={() => void turn()}>{webhook.enabled ? t("webhook.turn_off") : t("webhook.turn_on")}</Button>
      <Button onClick={() => ask({ title: t("webhook.rotate"), text: t("webhook.rotate_text"), button: t("webhook.rotate"), act: rotate })}>{t("webhook.rotate")}</Button>
      <Button look="danger" onClick={() => ask({ title: t("webhook.remove"), text: <Concerned text={t("webhook.remove_text", { name: webhook.name })} of={["webhook", webhook.id]} count={async () => t("webhook.remove_concerns", { n: await owed() })} />, button: t("webhook.remove"), danger: true, act: remove })}>{t("webhook.remove")}</Button>
      {open === "change" && <FormDialog close={() => setOpen(null)} title={webhook.name} fields={hookFields(kinds, webhook)} button={t("act.save")} done={t("act.saved")} submit={change} />}
      {open === "replay" && <FormDialog close={() => setOpen(null)} title={t("webhook.replay")} text={t("webhook.replay_text")} fields={[{ name: "from", label: t("messages.from"), kind: "moment", required: true, value: toInput((Date.now() - DAY_MS) * 1000) }, { name: "to", label: t("messages.until"), kind: "moment" }]} button={t("webhook.replay")} submit={replay} />}
      {secret && <Dialog open close={() => setSecret(null)} title={t("webhook.rotate")}><Secret pairs={[[t("webhooks.secret"), secret]]} /></Dialog>}
      {question}
    </>
  );
}
