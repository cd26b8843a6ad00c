// One list: how many are on it, who came and who left, day by day.
import { Link, useParams } from "@tanstack/react-router";
import { api, type Schemas } from "../../api/client";
import { spoken, t, word } from "../../lib/text";
import { toDate } from "../../lib/time";
import { Badge, Card, PageHead } from "../../parts/basic";
import { Filters, useFilters } from "../../parts/filters";
import type { Column } from "../../parts/list";
import { Series } from "../../parts/series";
import { Empty, Shown } from "../../parts/state";
import { Table } from "../../parts/table";
import { quoted } from "../contacts/page";
import { Figure } from "../campaigns/figure";
import { PublicForm } from "./form";

type Day = Schemas["GrowthDay"];

const SPANS = ["30", "366"];
const USUAL = 90;

export function Page() {
  const id = Number((useParams({ strict: false }) as { id: string }).id);
  const lists = api.useQuery("get", "/v1/lists");
  return (
    <Shown of={lists}>
      {({ items }) => {
        const list = items.find((one) => one.id === id);
        return list ? <Drawn list={list} /> : <Empty title={t("state.no_page")} text={t("state.no_page_text")} />;
      }}
    </Shown>
  );
}

function Drawn({ list }: { list: Schemas["ListView"] }) {
  return (
    <>
      <PageHead title={list.name} text={list.description}>
        <Badge>{word("opt_in", list.opt_in)}</Badge>
        <Badge>{word("visibility", list.visibility)}</Badge>
        <Link to="/contacts" search={{ segment: `list ${quoted(list.name)}` }} className="button">{t("contacts.title")}</Link>
      </PageHead>
      <div className="figures">
        <Figure name={t("lists.subscribed")} value={list.subscribed} />
        <Figure name={t("lists.unconfirmed")} value={list.unconfirmed} />
        <Figure name={t("lists.unsubscribed")} value={list.unsubscribed} />
      </div>
      <Growth id={list.id} />
      <PublicForm list={list} />
    </>
  );
}

function dayName(at: number): string {
  // Days are those of UTC, as the daemon counts them.
  return toDate(at).toLocaleDateString(spoken(), { day: "numeric", month: "short", timeZone: "UTC" });
}

function Growth({ id }: { id: number }) {
  const { values } = useFilters();
  const days = SPANS.includes(values.days ?? "") ? Number(values.days) : USUAL;
  const growth = api.useQuery("get", "/v1/lists/{id}/growth", { params: { path: { id }, query: { days } } });
  const columns: Column<Day>[] = [
    { title: t("warmups.day"), cell: (row) => dayName(row.begins_at), text: (row) => toDate(row.begins_at).toISOString().slice(0, 10) },
    { title: t("growth.joined"), cell: (row) => row.joined.toLocaleString(), text: (row) => String(row.joined), number: true },
    { title: t("growth.left"), cell: (row) => row.left.toLocaleString(), text: (row) => String(row.left), number: true },
    { title: t("growth.all"), cell: (row) => row.subscribed.toLocaleString(), text: (row) => String(row.subscribed), number: true },
  ];
  return (
    <>
      <Card title={t("growth.title")}>
        <div className="stack">
          <Filters filters={[{ name: "days", label: t("growth.span"), kind: "select", all: t("growth.days", { n: USUAL }), options: SPANS.map((span) => [span, t("growth.days", { n: Number(span) })]) }]} />
          <Shown of={growth} rows={4}>
            {({ items }) => (
              <div className="grid wide">
                <Series label={t("growth.all")} names={items.map((day) => dayName(day.begins_at))} series={[{ name: t("growth.all"), colour: "accent", line: true, values: items.map((day) => day.subscribed) }]} />
                <Series label={t("growth.moves")} names={items.map((day) => dayName(day.begins_at))} series={[{ name: t("growth.joined"), colour: "good", values: items.map((day) => day.joined) }, { name: t("growth.left"), colour: "bad", line: true, values: items.map((day) => day.left) }]} />
              </div>
            )}
          </Shown>
          <p className="faint">{t("growth.note")}</p>
        </div>
      </Card>
      <Shown of={growth} rows={2}>
        {({ items }) => {
          const moved = items.filter((day) => day.joined + day.left > 0).reverse();
          return <Table name={`list-${id}-growth`} title={t("growth.days_table")} rows={moved} columns={columns} id={(row) => row.begins_at} empty={<Empty title={t("growth.still")} text={t("growth.still_text")} />} />;
        }}
      </Shown>
    </>
  );
}
