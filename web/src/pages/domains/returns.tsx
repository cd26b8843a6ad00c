// Domains that bounces come back to.
import { useQueryClient } from "@tanstack/react-query";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { given } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { Maker } from "../../parts/maker";
import { RECORD_TONES } from "../../parts/record";
import { explain } from "../../parts/state";
import { tell } from "../../parts/toast";

type Row = Schemas["ReturnDomainRow"];

export function Returns() {
  const { may } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Row>[] = [
    { title: t("domains.domain"), cell: (row) => row.name },
    { title: t("domains.records"), cell: (row) => <><Badge tone={RECORD_TONES[row.standing ?? "unknown"]}>{word("record_state", row.standing ?? "unknown")}</Badge><div className="sub break">{row.found}</div></>, text: (row) => row.standing ?? "" },
    { title: t("domains.since"), cell: (row) => <When at={row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
  ];
  const remove = async (row: Row) => {
    await got(client.DELETE("/v1/return-domains/{id}", { params: { path: { id: row.id } } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const check = async (row: Row) => {
    await got(client.POST("/v1/return-domains/{id}/check", { params: { path: { id: row.id } } }));
    await queryClient.invalidateQueries();
  };
  const writes = may("domains_write");
  const actions = (row: Row) => [
    { text: t("domain.check"), act: () => void check(row).catch((error: unknown) => tell(explain(error), true)) },
    ...(writes ? [{ text: t("returns.remove"), danger: true, act: () => ask({ title: t("returns.remove"), text: t("returns.remove_text", { name: row.name }), button: t("returns.remove"), danger: true, act: () => remove(row) }) }] : []),
  ];
  return (
    <>
      {writes && <div className="row"><Maker label={t("returns.add")} title={t("returns.add")} text={t("returns.add_text")} fields={[{ name: "name", label: t("domains.domain"), required: true, placeholder: "bounce.example.com" }]} button={t("returns.add")} done={t("act.saved")} submit={async (values) => { await got(client.POST("/v1/return-domains", { body: { name: given(values, "name") ?? "" } })); }} /></div>}
      <List whole name="return-domains" label={t("returns.title")} load={() => got(client.GET("/v1/return-domains"))} columns={columns} id={(row) => row.id} actions={actions} empty={{ title: t("returns.empty"), text: t("returns.empty_text") }} />
      {question}
    </>
  );
}
