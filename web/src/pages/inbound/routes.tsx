// Where mail for addresses of ours goes on to, and what is owed or held of it.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { bytes, toDate } from "../../lib/time";
import { Badge, type Tone, When } from "../../parts/basic";
import { Concerned, counted } from "../../parts/concerned";
import { Dialog, useQuestion } from "../../parts/dialog";
import { type Field, given, lines, type Values } from "../../parts/form";
import { asked, byWords, type Column, List, says } from "../../parts/list";
import { FormDialog, Maker } from "../../parts/maker";
import { Secret } from "../../parts/secret";
import { Shown } from "../../parts/state";
import { Talk } from "../../parts/talk";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";

type Route = Schemas["InboundRouteView"];
type Call = Schemas["InboundCallRow"];
type Action = Schemas["RouteAction"];

const ACTIONS: Action[] = ["http", "smtp", "forward", "accept", "hold", "refuse"];
const PAGE = 100;
const SENT: Action[] = ["http", "smtp", "forward"];

const owed = (route: number) => counted((cursor) => got(client.GET("/v1/inbound-calls", { params: { query: { cursor, limit: PAGE } } })), (row: Call) => row.route === route);

export function Routes() {
  const { may } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Route>[] = [
    { title: t("routes.pattern"), cell: (row) => <span className="mono break">{row.pattern}</span>, text: (row) => row.pattern },
    { title: t("routes.action"), cell: (row) => <Badge tone={row.action === "refuse" ? "bad" : row.action === "hold" ? "warn" : "info"}>{word("route_action", row.action)}</Badge>, text: (row) => row.action },
    { title: t("routes.target"), cell: (row) => <span className="break">{row.target}</span>, text: (row) => row.target },
    { title: t("routes.format"), cell: (row) => (row.action === "http" ? `${word("route_format", row.format)} · ${bytes(row.attachment_bytes_max)}` : ""), text: (row) => row.format },
    { title: t("credentials.made"), cell: (row) => <When at={row.created_at} />, text: (row) => toDate(row.created_at).toISOString() },
  ];
  const fields: Field[] = [
    { name: "pattern", label: t("routes.pattern"), required: true, placeholder: "support@example.com", hint: t("routes.pattern_hint") },
    { name: "action", label: t("routes.action"), kind: "select", options: options("route_action", ACTIONS) },
    { name: "target", label: t("routes.target"), required: true, hint: t("routes.target_hint"), shown: (values) => SENT.includes(values.action as Action) },
    { name: "format", label: t("routes.format"), kind: "select", options: options("route_format", ["parsed", "raw", "postal"]), shown: (values) => values.action === "http" },
  ];
  const add = async (values: Values) => {
    const action = values.action as Action;
    const made = await got(client.POST("/v1/inbound-routes", { body: { pattern: given(values, "pattern") ?? "", action, target: SENT.includes(action) ? given(values, "target") ?? "" : "", format: action === "http" ? (values.format as Route["format"]) : undefined } }));
    return made.secret ? <Secret pairs={[[t("routes.secret"), made.secret]]} /> : undefined;
  };
  const remove = async (id: number) => {
    await got(client.DELETE("/v1/inbound-routes/{id}", { params: { path: { id } } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  return (
    <>
      {may("domains_write") && <div className="row"><Maker label={t("routes.add")} title={t("routes.add")} text={t("routes.add_text")} fields={fields} button={t("routes.add")} done={t("act.saved")} submit={add} /></div>}
      <List whole name="inbound-routes" label={t("routes.title")} load={() => got(client.GET("/v1/inbound-routes"))} filters={[{ name: "action", label: t("routes.action"), kind: "select", options: options("route_action", ACTIONS) }]} keeps={(row, search) => says(search.action, row.action)} columns={columns} id={(row) => row.id} actions={may("domains_write") ? (row) => [{ text: t("routes.remove"), danger: true, act: () => ask({ title: t("routes.remove"), text: <Concerned text={t("routes.remove_text", { pattern: row.pattern })} of={["route", row.id]} count={async () => t("routes.remove_concerns", { n: await owed(row.id) })} />, button: t("routes.remove"), danger: true, act: () => remove(row.id) }) }] : undefined} empty={{ title: t("routes.empty"), text: t("routes.empty_text") }} />
      {question}
    </>
  );
}

const CALL_TONES: Record<Call["state"], Tone> = { waiting: "info", held: "warn", failed: "bad" };

export function Calls() {
  const { may } = useSession();
  const [releasing, setReleasing] = useState<Call | null>(null);
  const [shown, setShown] = useState<Call | null>(null);
  const steers = may("messages_steer");
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const path = (row: Call) => ({ params: { path: { id: row.id } } });
  const columns: Column<Call>[] = [
    { title: t("messages.sender"), cell: (row) => <span className="break">{row.sender || t("messages.null_sender")}</span>, text: (row) => row.sender },
    { title: t("messages.recipient"), cell: (row) => <span className="break">{row.recipient}</span>, text: (row) => row.recipient },
    { title: t("messages.state"), cell: (row) => <Badge tone={CALL_TONES[row.state]}>{word("inbound_call", row.state)}</Badge>, text: (row) => row.state },
    { title: t("messages.answer"), cell: (row) => <span className="sub break">{row.text}</span>, text: (row) => row.text },
    { title: t("messages.tries"), cell: (row) => row.tries, number: true },
    { title: t("queue.due"), cell: (row) => (row.state === "waiting" ? <When at={row.due_at} /> : "–"), text: (row) => toDate(row.due_at).toISOString() },
    { title: t("audit.when"), cell: (row) => <When at={row.created_at} />, text: (row) => toDate(row.created_at).toISOString() },
  ];
  const again = async (row: Call) => {
    await got(client.POST("/v1/inbound-calls/{id}/release", { ...path(row), body: { to: [] } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const remove = async (row: Call) => {
    await got(client.DELETE("/v1/inbound-calls/{id}", path(row)));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const actions = (row: Call) => [
    { text: t("routes.show"), act: () => setShown(row) },
    ...(!steers ? [] : steering(row)),
  ];
  const steering = (row: Call) => [
    ...(row.state === "held" ? [{ text: t("routes.release"), act: () => setReleasing(row) }] : []),
    ...(row.state === "failed" ? [{ text: t("act.again"), act: () => void again(row) }] : []),
    { text: t("routes.give_up"), danger: true, act: () => ask({ title: t("routes.give_up"), text: t("routes.give_up_text", { recipient: row.recipient }), button: t("routes.give_up"), danger: true, act: () => remove(row) }) },
  ];
  return (
    <>
      <List name="inbound-calls" label={t("routes.calls")} load={(search, cursor) => got(client.GET("/v1/inbound-calls", { params: { query: { ...asked(search, cursor), state: search.state as Call["state"] | undefined } } }))} filters={[byWords(), { name: "state", label: t("messages.state"), kind: "select", options: options("inbound_call", Object.keys(CALL_TONES)) }]} columns={columns} id={(row) => row.id} actions={actions} every={10_000} empty={{ title: t("routes.no_calls"), text: t("routes.no_calls_text") }} />
      {shown && <Sent call={shown} close={() => setShown(null)} />}
      {releasing && <FormDialog close={() => setReleasing(null)} title={t("routes.release")} text={t("routes.release_text", { recipient: releasing.recipient })} fields={[{ name: "to", label: t("compose.to"), kind: "lines", required: true, hint: t("compose.to_hint") }]} button={t("routes.release")} done={t("act.saved")} submit={async (values) => { await got(client.POST("/v1/inbound-calls/{id}/release", { ...path(releasing), body: { to: lines(values, "to") } })); }} />}
      {question}
    </>
  );
}

/** One of them with what is sent, as it goes out. */
function Sent({ call, close }: { call: Call; close: () => void }) {
  const found = api.useQuery("get", "/v1/inbound-calls/{id}", { params: { path: { id: call.id } } });
  return (
    <Dialog open close={close} broad title={t("routes.sent_to", { recipient: call.recipient })} text={t("routes.sent_text")}>
      <Shown of={found} rows={4}>{(data) => <Talk text={readable(data.payload)} label={t("routes.payload")} />}</Shown>
    </Dialog>
  );
}

/** JSON in lines; a mail, which is in base64, as its octets read. */
export function readable(payload: string): string {
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    // It is a mail.
  }
  try {
    const octets = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
    return new TextDecoder().decode(octets);
  } catch {
    return payload;
  }
}
