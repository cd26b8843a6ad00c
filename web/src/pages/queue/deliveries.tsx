// Deliveries that are owed, and what a person may do with one, some, or all that a filter finds.
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Button, When } from "../../parts/basic";
import { Dialog } from "../../parts/dialog";
import { type Filter, useFilters } from "../../parts/filters";
import { type Field, Form, given, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { Failed, Loading } from "../../parts/state";
import { tell } from "../../parts/toast";
import { options, StateBadge } from "../../parts/words";

type Row = Schemas["DeliveryView"];
type Action = Schemas["Action"];
type DeliveryFilter = Schemas["DeliveryFilter"];

const ACTIONS: Action[] = ["hold", "release", "retry", "reroute", "cancel"];
/** In which states an action changes something. */
const APPLIES: Record<Action, Schemas["State"][]> = { hold: ["waiting"], release: ["held"], retry: ["waiting"], reroute: ["waiting", "held", "leased"], cancel: ["waiting", "held", "leased"] };

function filters(): Filter[] {
  return [
    { name: "state", label: t("messages.state"), kind: "select", options: options("state_of", ["waiting", "leased", "held", "delivered", "failed", "expired", "cancelled", "suppressed"]) },
    { name: "domain", label: t("queue.domain"), placeholder: "example.com" },
    { name: "sender", label: t("messages.sender") },
    { name: "message", label: t("queue.message") },
  ];
}

function columns(): Column<Row>[] {
  return [
    {
      title: t("messages.recipient"),
      cell: (row) => (
        <>
          <Link to="/deliveries/$id" params={{ id: String(row.id) }} className="break">{row.recipient}</Link>
          <div className="sub">{row.subject || t("messages.no_subject")}</div>
        </>
      ),
      text: (row) => row.recipient,
    },
    { title: t("messages.state"), cell: (row) => <StateBadge state={row.state} />, text: (row) => row.state },
    { title: t("messages.answer"), cell: (row) => <span className="sub break">{row.text}</span>, text: (row) => row.text },
    { title: t("messages.tries"), cell: (row) => row.tries, number: true },
    { title: t("queue.due"), cell: (row) => row.state === "waiting" ? <When at={row.due_at} /> : "–", text: (row) => new Date(row.due_at / 1000).toISOString() },
    { title: t("messages.accepted"), cell: (row) => <When at={row.accepted_at} />, text: (row) => new Date(row.accepted_at / 1000).toISOString() },
  ];
}

function asFilter(search: Record<string, string>): DeliveryFilter {
  return {
    state: (search.state as Schemas["State"] | undefined) ?? undefined,
    domain: search.domain || undefined,
    sender: search.sender || undefined,
    message: search.message ? Number(search.message) : undefined,
  };
}

function load(search: Record<string, string>, cursor: string | undefined) {
  const query = { ...asFilter(search), cursor: cursor === undefined ? undefined : Number(cursor) };
  return got(client.GET("/v1/deliveries", { params: { query: query as never } }));
}

/** Of a release by the hour, each of at most a thousand. */
const PARTS_MAX = 10_000;

interface Order {
  action: Action;
  filters: DeliveryFilter[];
  /** Without a filter all are meant. */
  all: boolean;
}

export function Deliveries() {
  const { may } = useSession();
  const { values } = useFilters();
  const [order, setOrder] = useState<Order | null>(null);
  const client_ = useQueryClient();
  const steers = may("messages_steer");
  // Pools belong to the installation.
  const known = ACTIONS.filter((action) => action !== "reroute" || may("installation"));
  const filter = asFilter(values);
  const isAll = Object.values(filter).every((value) => value === undefined);
  const lawful = known.filter((action) => !filter.state || APPLIES[action].includes(filter.state));
  const done = () => {
    setOrder(null);
    void client_.invalidateQueries();
  };
  return (
    <>
      <List
        name="deliveries"
        label={t("queue.deliveries")}
        load={load}
        columns={columns()}
        filters={filters()}
        id={(row) => row.id}
        every={10_000}
        empty={{ title: t("queue.no_deliveries"), text: t("queue.no_deliveries_text") }}
        actions={steers ? (row) => known.filter((action) => APPLIES[action].includes(row.state)).map((action) => ({ text: word("action_of", action), danger: action === "cancel", act: () => setOrder({ action, filters: [{ delivery: row.id }], all: false }) })) : undefined}
        choose={steers ? (rows) => known.map((action) => <Button small key={action} onClick={() => setOrder({ action, filters: rows.map((row) => ({ delivery: row.id })), all: false })}>{word("action_of", action)}</Button>) : undefined}
        above={steers && (
          <div className="filters">
            <span className="faint">{isAll ? t("queue.with_all") : t("queue.with_found")}</span>
            {lawful.map((action) => <Button small key={action} onClick={() => setOrder({ action, filters: [filter], all: isAll })}>{word("action_of", action)}…</Button>)}
          </div>
        )}
      />
      {order && <Steering order={order} close={() => setOrder(null)} done={done} />}
    </>
  );
}

/** First says what would happen and to how many; only then it is done. */
function Steering({ order, close, done }: { order: Order; close: () => void; done: () => void }) {
  const { action, all } = order;
  const [preview, setPreview] = useState<{ count: number; sample: Row[] } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [asked, setAsked] = useState(false);
  const pools = api.useQuery("get", "/v1/pools", {}, { enabled: action === "reroute" });
  const ask = async (filter: DeliveryFilter, isPreview: boolean, values: Values = {}, from?: number | null) => {
    const pace = given(values, "per_hour");
    return got(client.POST("/v1/deliveries/steer", { body: { action, all, filter, preview: isPreview, reason: given(values, "reason") ?? "", pool: given(values, "pool"), per_hour: pace === undefined ? undefined : Number(pace), from } }));
  };
  const look = async () => {
    setError(null);
    try {
      const seen = await Promise.all(order.filters.map((filter) => ask(filter, true)));
      setPreview({ count: seen.reduce((sum, one) => sum + one.count, 0), sample: seen.flatMap((one) => one.sample).slice(0, 5) });
    } catch (problem) {
      setError(problem);
    }
  };
  if (!asked) {
    setAsked(true);
    void look();
  }
  const act = async (values: Values) => {
    let changed = 0;
    let more = false;
    for (const filter of order.filters) {
      // A release by the hour goes part by part, each with its moment.
      let from: number | null | undefined;
      let parts = 0;
      do {
        const done = await ask(filter, false, values, from);
        changed += done.changed;
        from = done.continues_at;
        parts += 1;
        more ||= done.more && from == null;
      } while (from != null && parts < PARTS_MAX);
      more ||= from != null;
    }
    tell(more ? t("queue.steered_more", { n: changed }) : t("queue.steered", { n: changed }));
    done();
  };
  const fields: Field[] = [
    ...(action === "reroute" ? [{ name: "pool", label: t("queue.pool"), kind: "select", options: [["", t("queue.by_rules")], ...(pools.data?.items ?? []).map((one): [string, string] => [one.name, one.name])], hint: t("queue.pool_hint") } as Field] : []),
    ...(action === "release" ? [{ name: "per_hour", label: t("queue.per_hour"), kind: "number", min: 1, hint: t("queue.per_hour_hint") } satisfies Field] : []),
    { name: "reason", label: t("queue.note"), hint: t("queue.note_hint") },
  ];
  return (
    <Dialog open close={close} title={word("action_of", action)} text={t(`queue.${action}_means`)}>
      {error ? <Failed error={error} again={look} /> : preview === null ? <Loading rows={3} /> : (
        <>
          <p><strong>{t("queue.will_change", { n: preview.count })}</strong></p>
          <ul>{preview.sample.map((row) => <li key={row.id} className="break">{row.recipient} <span className="faint">{row.subject}</span></li>)}</ul>
          {preview.count > 0 && <Form danger={action === "cancel"} fields={fields} button={t("queue.do_it", { action: word("action_of", action), n: preview.count })} submit={act} cancel={close} />}
        </>
      )}
    </Dialog>
  );
}
