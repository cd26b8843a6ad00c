// What anybody changed, with what was before and what is after.
import { client, got, type Schemas } from "../../api/client";
import { t } from "../../lib/text";
import { moment, ofInput } from "../../lib/time";
import { PageHead } from "../../parts/basic";
import { asked, byWords, type Column, List } from "../../parts/list";
import { Talk } from "../../parts/talk";

type Row = Schemas["AuditRow"];

function json(value: unknown): string {
  return value === undefined || value === null ? "" : JSON.stringify(value, null, 1);
}

export function Page() {
  const columns: Column<Row>[] = [
    { title: t("audit.when"), cell: (row) => <span className="nowrap">{moment(row.at)}</span>, text: (row) => new Date(row.at / 1000).toISOString() },
    { title: t("audit.who"), cell: (row) => <span className="break">{row.actor}</span>, text: (row) => row.actor },
    { title: t("audit.what"), cell: (row) => <><strong>{row.action.replaceAll("_", " ").replace(".", ": ")}</strong><div className="sub break">{row.target}</div></>, text: (row) => `${row.action} ${row.target}` },
    {
      title: t("audit.change"),
      cell: (row) => row.before || row.after ? (
        <details>
          <summary>{t("audit.show")}</summary>
          {row.before != null && <Talk text={`− ${json(row.before)}`} label={t("audit.before")} />}
          {row.after != null && <Talk text={`+ ${json(row.after)}`} label={t("audit.after")} />}
        </details>
      ) : "",
      text: (row) => `${json(row.before)} → ${json(row.after)}`,
    },
  ];
  return (
    <>
      <PageHead title={t("audit.title")} text={t("audit.text")} />
      <List name="audit" label={t("audit.title")} load={(search, cursor) => got(client.GET("/v1/audit", { params: { query: { ...asked(search, cursor), from: ofInput(search.from ?? ""), until: ofInput(search.until ?? "") } } }))} filters={[byWords(), { name: "from", label: t("messages.from"), kind: "moment" }, { name: "until", label: t("messages.until"), kind: "moment" }]} columns={columns} id={(row) => row.id} empty={{ title: t("audit.empty"), text: t("audit.empty_text") }} />
    </>
  );
}
