// Recipients to whom all that is said is kept, for a while.
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { toDate } from "../../lib/time";
import { PageHead, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { type Field, given, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { Maker } from "../../parts/maker";
import { tell } from "../../parts/toast";

type Trace = Schemas["Trace"];

export function Page() {
  const { may } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Trace>[] = [
    { title: t("messages.recipient"), cell: (row) => <Mails recipient={row.recipient} />, text: (row) => row.recipient },
    { title: t("credentials.made"), cell: (row) => <When at={row.created_at} />, text: (row) => toDate(row.created_at).toISOString() },
    { title: t("limits.ends"), cell: (row) => <When at={row.expires_at} />, text: (row) => toDate(row.expires_at).toISOString() },
  ];
  const fields: Field[] = [
    { name: "recipient", label: t("messages.recipient"), required: true, hint: t("holds.address_hint") },
    { name: "hours", label: t("traces.hours"), kind: "number", min: 1, required: true, value: "24", hint: t("traces.hours_hint") },
  ];
  const add = async (values: Values) => {
    await got(client.POST("/v1/traces", { body: { recipient: given(values, "recipient") ?? "", hours: Number(values.hours) } }));
  };
  const remove = async (row: Trace) => {
    await got(client.DELETE("/v1/traces/{id}", { params: { path: { id: row.id } } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const steers = may("messages_steer");
  return (
    <>
      <PageHead title={t("traces.title")} text={t("traces.text")}>
        {steers && <Maker label={t("traces.add")} title={t("traces.add")} text={t("traces.add_text")} fields={fields} button={t("traces.add")} done={t("act.saved")} submit={add} />}
      </PageHead>
      <List whole name="traces" label={t("traces.title")} load={() => got(client.GET("/v1/traces"))} columns={columns} id={(row) => row.id} actions={steers ? (row) => [{ text: t("traces.remove"), act: () => ask({ title: t("traces.remove"), text: t("traces.remove_text", { recipient: row.recipient }), button: t("traces.remove"), act: () => remove(row) }) }] : undefined} empty={{ title: t("traces.empty"), text: t("traces.empty_text") }} />
      {question}
    </>
  );
}

/** To an address leads a link to its mails. */
function Mails({ recipient }: { recipient: string }) {
  if (recipient.startsWith("@") || !recipient.includes("@")) return <span className="break">{recipient}</span>;
  return <Link to="/messages" search={{ recipient }} className="break">{recipient}</Link>;
}
