// What rules have changed by themselves, why, and taking it back.
import { useQueryClient } from "@tanstack/react-query";
import { client, got, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { moment } from "../../lib/time";
import { Badge, Button, Notice, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { type Column, List } from "../../parts/list";
import { tell } from "../../parts/toast";

type Decision = Schemas["DecisionView"];

function useSteps() {
  const queryClient = useQueryClient();
  const [ask, question] = useQuestion();
  const path = (one: Decision) => ({ params: { path: { id: one.id } } });
  const after = async () => {
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const undo = (one: Decision) => ask({
    title: t("decisions.undo"),
    text: t("decisions.undo_text", { what: word("metric_of", one.metric), before: one.before?.toLocaleString() ?? "∞", after: one.after?.toLocaleString() ?? "∞" }),
    button: t("decisions.undo"),
    act: async () => { await got(client.POST("/v1/decisions/{id}/undo", path(one))); await after(); },
  });
  const pin = async (one: Decision) => {
    await got(client.POST("/v1/decisions/{id}/pin", { ...path(one), body: { pinned: !one.pinned } }));
    await after();
  };
  return { undo, pin, question };
}

export function DecisionItem({ decision }: { decision: Decision }) {
  const { undo, pin, question } = useSteps();
  const buttons = (
    <>
      <Button small onClick={() => undo(decision)}>{t("decisions.undo")}</Button>
      <Button small onClick={() => void pin(decision)}>{decision.pinned ? t("limits.unpin") : t("limits.pin")}</Button>
    </>
  );
  return (
    <>
      <Notice tone="warn" action={decision.state === "active" ? buttons : undefined}>
        <p><Badge>{word("decision_rule", decision.rule)}</Badge> {decision.cause}</p>
        <p className="faint">{moment(decision.at)} · {word("metric_of", decision.metric)}: {decision.before?.toLocaleString() ?? "∞"} → {decision.after?.toLocaleString() ?? "∞"}</p>
      </Notice>
      {question}
    </>
  );
}

export function Decisions() {
  const { undo, pin, question } = useSteps();
  const columns: Column<Decision>[] = [
    { title: t("audit.when"), cell: (row) => <When at={row.at} />, text: (row) => new Date(row.at / 1000).toISOString() },
    { title: t("decisions.rule"), cell: (row) => <><Badge tone={row.state === "active" ? "warn" : "plain"}>{word("decision_rule", row.rule)}</Badge><div className="sub break">{row.cause}</div></>, text: (row) => `${row.rule}: ${row.cause}` },
    { title: t("decisions.where"), cell: (row) => <>{row.from} → {row.to}<div className="sub">{row.who}</div></>, text: (row) => `${row.from} → ${row.to}` },
    { title: t("decisions.change"), cell: (row) => `${word("metric_of", row.metric)}: ${row.before?.toLocaleString() ?? "∞"} → ${row.after?.toLocaleString() ?? "∞"}` },
    { title: t("limits.ends"), cell: (row) => row.pinned ? <Badge>{t("limits.pinned")}</Badge> : <When at={row.expires_at} />, text: (row) => String(row.expires_at ?? "") },
    { title: t("messages.state"), cell: (row) => word("decision_state", row.state), text: (row) => row.state },
  ];
  const load = (search: Record<string, string>, cursor: string | undefined) => got(client.GET("/v1/decisions", { params: { query: { active: search.active === "true" ? true : undefined, cursor: cursor === undefined ? undefined : Number(cursor) } } }));
  const actions = (row: Decision) => row.state !== "active" ? [] : [{ text: t("decisions.undo"), act: () => undo(row) }, { text: row.pinned ? t("limits.unpin") : t("limits.pin"), act: () => void pin(row) }];
  return (
    <>
      <List name="decisions" label={t("decisions.title")} load={load} columns={columns} id={(row) => row.id} filters={[{ name: "active", label: t("messages.state"), kind: "select", options: [["true", t("decisions.in_force")]] }]} actions={actions} every={10_000} empty={{ title: t("decisions.empty"), text: t("decisions.empty_text") }} />
      {question}
    </>
  );
}
