// Mail that came in: what it was taken for, and what became of it.
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, PageHead, type Tone, When } from "../../parts/basic";
import { asked, byWords, type Column, List } from "../../parts/list";
import { options } from "../../parts/words";
import { Tabs } from "../../parts/tabs";
import { Calls, Routes } from "./routes";

type Row = Schemas["InboundMailRow"];

const RESULTS: Record<string, Tone> = { pass: "good", fail: "bad", none: "plain" };

export function Page() {
  const { may } = useSession();
  const tabs = [
    { name: "mails", title: t("inbound.mails"), draw: () => <Mails /> },
    ...(may("domains_read") ? [{ name: "routes", title: t("routes.title"), draw: () => <Routes /> }] : []),
    { name: "calls", title: t("routes.calls"), draw: () => <Calls /> },
  ];
  return (
    <>
      <PageHead title={t("inbound.title")} text={t("inbound.text")} />
      <Tabs label={t("inbound.title")} tabs={tabs} />
    </>
  );
}

function Mails() {
  const columns: Column<Row>[] = [
    { title: t("messages.sender"), cell: (row) => <><span className="break">{row.sender || t("messages.null_sender")}</span><div className="sub">{row.peer} {row.ehlo}</div></>, text: (row) => row.sender },
    { title: t("messages.recipient"), cell: (row) => <><span className="break">{row.recipient}</span><div className="sub">{row.subject}</div></>, text: (row) => row.recipient },
    { title: t("inbound.kind"), cell: (row) => <Badge tone="info">{word("report_kind", row.kind)}</Badge>, text: (row) => row.kind },
    { title: t("inbound.fate"), cell: (row) => <>{word("inbound_fate", row.fate)}<div className="sub">{row.text}</div></>, text: (row) => `${row.fate}: ${row.text}` },
    { title: t("inbound.about"), cell: (row) => row.message ? <Link to="/messages/$id" params={{ id: String(row.message) }}>{t("home.message", { id: row.message })}</Link> : "", text: (row) => String(row.message ?? "") },
    { title: "SPF · DKIM · DMARC", cell: (row) => <span className="row">{[row.spf, row.dkim, row.dmarc].map((one, at) => <Badge key={["spf", "dkim", "dmarc"][at]} tone={RESULTS[one] ?? "warn"}>{one}</Badge>)}</span>, text: (row) => [row.spf, row.dkim, row.dmarc].join(" ") },
    { title: t("audit.when"), cell: (row) => <When at={row.at} />, text: (row) => new Date(row.at / 1000).toISOString() },
  ];
  return <List name="inbound" label={t("inbound.title")} load={(search, cursor) => got(client.GET("/v1/inbound", { params: { query: { ...asked(search, cursor), kind: search.kind as Row["kind"] | undefined } } }))} filters={[byWords(), { name: "kind", label: t("inbound.kind"), kind: "select", options: options("report_kind", ["bounce", "delay", "auto_reply", "delivered", "complaint", "not_bounce"]) }]} columns={columns} id={(row) => row.id} every={10_000} empty={{ title: t("inbound.empty"), text: t("inbound.empty_text") }} />;
}
