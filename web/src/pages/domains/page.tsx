// Domains that may be sent from, each with whether its DNS records are right.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Badge, PageHead, When } from "../../parts/basic";
import { given, type Values } from "../../parts/form";
import { type Column, List, says } from "../../parts/list";
import { Maker } from "../../parts/maker";
import { Tabs } from "../../parts/tabs";
import { Returns } from "./returns";

type Row = Schemas["DomainRow"];

/** Asks the domain's own name servers, which takes a moment; the answer is kept for a while. */
export function useCheck(name: string) {
  return useQuery({
    queryKey: ["domain check", name],
    staleTime: 60_000,
    retry: false,
    queryFn: () => got(client.POST("/v1/domains/{name}/check", { params: { path: { name } } })),
  });
}

export function Ready({ name }: { name: string }) {
  const check = useCheck(name);
  if (check.isPending) return <Badge>{t("domains.looking")}</Badge>;
  if (!check.data) return <Badge>{t("domains.unknown")}</Badge>;
  const wrong = check.data.records.filter((record) => record.state !== "right").length;
  return check.data.ready ? <Badge tone="good">{t("domains.ready")}</Badge> : <Badge tone="bad">{t("domains.wrong", { n: wrong })}</Badge>;
}

export function Page() {
  const { may } = useSession();
  const navigate = useNavigate();
  const columns: Column<Row>[] = [
    { title: t("domains.domain"), cell: (row) => <Link to="/domains/$name" params={{ name: row.name }}>{row.name}</Link>, text: (row) => row.name },
    { title: t("domains.records"), cell: (row) => <Ready name={row.name} />, text: (row) => Object.entries(row.checked ?? {}).map(([record, state]) => `${record}: ${state}`).join(", ") },
    { title: t("domains.since"), cell: (row) => <When at={row.created_at} />, text: (row) => new Date(row.created_at / 1000).toISOString() },
  ];
  const add = async (values: Values) => {
    const domain = given(values, "name") ?? "";
    await got(client.POST("/v1/domains", { body: { name: domain } }));
    if (values.dkim === true) await got(client.POST("/v1/dkim", { body: { domain } }));
    await navigate({ to: "/domains/$name", params: { name: domain.toLowerCase() } });
  };
  return (
    <>
      <PageHead title={t("domains.title")} text={t("domains.text")}>
        {may("domains_write") && <Maker label={t("domains.add")} title={t("domains.add")} text={t("domains.add_text")} fields={[{ name: "name", label: t("domains.domain"), required: true, placeholder: "example.com" }, { name: "dkim", label: t("domains.with_keys"), kind: "check", value: true }]} button={t("domains.add")} done={t("domains.added")} submit={add} />}
      </PageHead>
      <Tabs label={t("domains.title")} tabs={[{ name: "domains", title: t("domains.title"), draw: () => <Domains columns={columns} /> }, { name: "returns", title: t("returns.title"), draw: () => <Returns /> }]} />
    </>
  );
}

function Domains({ columns }: { columns: Column<Row>[] }) {
  return <List whole name="domains" label={t("domains.title")} load={() => got(client.GET("/v1/domains"))} filters={[{ name: "state", label: t("messages.state"), kind: "select", options: [["verified", t("domains.verified")], ["unverified", t("domains.unverified")]] }]} keeps={(row, search) => says(search.state, row.verified_at == null ? "unverified" : "verified")} columns={columns} id={(row) => row.id} empty={{ title: t("domains.empty"), text: t("domains.empty_text") }} />;
}
