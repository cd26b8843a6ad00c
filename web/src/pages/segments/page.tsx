// Saved questions about contacts, put together in a builder or written as text, with a live count.
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { isWhole, type Kind, needsUnit, needsValue, operators, type Rows, subjects, type Test, textOf } from "../../lib/segment";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Button, PageHead, When } from "../../parts/basic";
import { Dialog, useQuestion } from "../../parts/dialog";
import { Form, given, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { explain, Shown } from "../../parts/state";
import { Table } from "../../parts/table";
import { tell } from "../../parts/toast";

type Row = Schemas["SavedSegmentRow"];

export function Page() {
  const { may } = useSession();
  const [open, setOpen] = useState<Partial<Row> | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const remove = async (id: number) => {
    await got(client.DELETE("/v1/segments/{id}", { params: { path: { id } } }));
    tell(t("segments.removed"));
    await queryClient.invalidateQueries();
  };
  const columns: Column<Row>[] = [
    { title: t("segments.name"), cell: (row) => <Link to="/contacts" search={{ segment: row.expression }}>{row.name}</Link>, text: (row) => row.name },
    { title: t("segments.expression"), cell: (row) => <code className="break">{row.expression}</code>, text: (row) => row.expression },
    { title: t("segments.size"), cell: (row) => <Size expression={row.expression} />, text: () => "", number: true },
    { title: t("segments.changed"), cell: (row) => <When at={row.updated_at} />, text: (row) => new Date(row.updated_at / 1000).toISOString() },
  ];
  const writes = may("contacts_write");
  return (
    <>
      <PageHead title={t("segments.title")} text={t("segments.text")}>
        {writes && <Button look="main" icon="plus" onClick={() => setOpen({})}>{t("segments.add")}</Button>}
      </PageHead>
      <List whole name="segments" label={t("segments.title")} load={() => got(client.GET("/v1/segments"))} columns={columns} id={(row) => row.id} actions={writes ? (row) => [{ text: t("act.change"), act: () => setOpen(row) }, { text: t("segments.remove"), danger: true, act: () => ask({ title: t("segments.remove"), text: t("segments.remove_text", { name: row.name }), button: t("segments.remove"), danger: true, act: () => remove(row.id) }) }] : undefined} empty={{ title: t("segments.empty"), text: t("segments.empty_text") }} />
      <Ready make={writes ? (one) => setOpen(one) : undefined} />
      {open && <Editor segment={open} close={() => setOpen(null)} />}
      {question}
    </>
  );
}

/** Those that are there without being made. */
function Ready({ make }: { make?: (segment: Schemas["ReadySegment"]) => void }) {
  const ready = api.useQuery("get", "/v1/segments/ready", {}, { staleTime: 600_000 });
  const columns: Column<Schemas["ReadySegment"]>[] = [
    { title: t("segments.name"), cell: (row) => <Link to="/contacts" search={{ segment: row.expression }}>{row.name}</Link>, text: (row) => row.name },
    { title: t("segments.expression"), cell: (row) => <code className="break">{row.expression}</code>, text: (row) => row.expression },
    { title: t("segments.size"), cell: (row) => <Size expression={row.expression} />, text: () => "", number: true },
    ...(make ? [{ title: t("list.actions"), cell: (row: Schemas["ReadySegment"]) => <Button small onClick={() => make(row)}>{t("segments.take")}</Button>, text: () => "" }] : []),
  ];
  return <Shown of={ready} rows={3}>{({ items }) => <Table name="ready-segments" title={t("segments.ready")} rows={items} columns={columns} id={(row) => row.name} empty={null} />}</Shown>;
}

function useCount(expression: string) {
  return useQuery({
    queryKey: ["segment count", expression],
    retry: false,
    placeholderData: keepPreviousData,
    queryFn: () => got(client.POST("/v1/segments/count", { body: { expression } })),
  });
}

function Size({ expression }: { expression: string }) {
  const count = useCount(expression);
  return count.data ? count.data.count.toLocaleString() : <span className="faint">{count.error ? "!" : "…"}</span>;
}

const TYPING_MS = 350;

function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

function Editor({ segment, close }: { segment: Partial<Row>; close: () => void }) {
  const [rows, setRows] = useState<Rows | null>(segment.expression === undefined ? { join: "and", tests: [] } : null);
  const [text, setText] = useState(segment.expression ?? "");
  const queryClient = useQueryClient();
  const settled = useSettled(text);
  const change = (next: Rows) => {
    setRows(next);
    setText(textOf(next));
  };
  const save = async (values: Values) => {
    const body = { name: given(values, "name") ?? "", expression: text };
    if (segment.id === undefined) await got(client.POST("/v1/segments", { body }));
    else await got(client.PUT("/v1/segments/{id}", { params: { path: { id: segment.id } }, body }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
    close();
  };
  return (
    <Dialog open close={close} broad title={segment.name ?? t("segments.add")} text={t("segments.editor_text")}>
      {rows && <Builder rows={rows} change={change} />}
      <div className="field">
        <label htmlFor="segment-text">{t("segments.as_text")}</label>
        <textarea id="segment-text" className="mono" value={text} spellCheck={false} placeholder={'city = "Berlin" and (created within last 90 days or tag "vip")'} onChange={(event) => { setText(event.target.value); setRows(null); }} />
        {!rows && <div className="row"><span className="hint">{t("segments.text_rules")}</span><Button small look="quiet" onClick={() => change({ join: "and", tests: [] })}>{t("segments.builder_anew")}</Button></div>}
      </div>
      <Live expression={settled} />
      <Form fields={[{ name: "name", label: t("segments.name"), required: true, value: segment.name }]} button={t("act.save")} submit={save} cancel={close} />
    </Dialog>
  );
}

function Live({ expression }: { expression: string }) {
  const count = useCount(expression);
  if (count.error) return <p className="field"><span className="wrong" role="alert">{explain(count.error)}</span></p>;
  return <p role="status"><strong>{count.data ? t("segments.matches", { n: count.data.count }) : "…"}</strong></p>;
}

function Builder({ rows, change }: { rows: Rows; change: (rows: Rows) => void }) {
  const fields = api.useQuery("get", "/v1/contact-fields");
  const known = subjects(fields.data?.items ?? []);
  const set = (at: number, test: Test) => change({ ...rows, tests: rows.tests.map((one, index) => (index === at ? test : one)) });
  const add = () => change({ ...rows, tests: [...rows.tests, { what: "tag", how: "has", value: "", unit: "days" }] });
  return (
    <fieldset className="stack tight">
      <legend className="unseen">{t("segments.builder")}</legend>
      <label className="row">
        {t("segments.join")}
        <select style={{ width: "auto" }} value={rows.join} onChange={(event) => change({ ...rows, join: event.target.value as Rows["join"] })}>
          <option value="and">{t("segments.all_of")}</option>
          <option value="or">{t("segments.any_of")}</option>
        </select>
      </label>
      {rows.tests.map((test, at) => (
        // biome-ignore lint: the rows have no other name than their place
        <TestRow key={at} test={test} known={known} set={(next) => set(at, next)} drop={() => change({ ...rows, tests: rows.tests.filter((_, index) => index !== at) })} />
      ))}
      <div className="row"><Button small icon="plus" onClick={add}>{t("segments.add_test")}</Button></div>
    </fieldset>
  );
}

function TestRow({ test, known, set, drop }: { test: Test; known: Map<string, Kind>; set: (test: Test) => void; drop: () => void }) {
  const kind = known.get(test.what) ?? "text";
  const choose = (what: string) => {
    const how = operators(known.get(what) ?? "text")[0] ?? "=";
    set({ ...test, what, how, value: "" });
  };
  return (
    <div className="row">
      <select style={{ width: "10rem" }} aria-label={t("segments.what")} value={test.what} onChange={(event) => choose(event.target.value)}>
        {[...known.keys()].map((name) => <option key={name} value={name}>{word("segment_what", name)}</option>)}
      </select>
      <select style={{ width: "11rem" }} aria-label={t("segments.how")} value={test.how} onChange={(event) => set({ ...test, how: event.target.value })}>
        {operators(kind).map((how) => <option key={how} value={how}>{word("segment_how", how.replaceAll(" ", "_"))}</option>)}
      </select>
      {needsValue(test.how) && <Value test={test} kind={kind} set={set} />}
      {needsUnit(test.how) && (
        <select style={{ width: "7rem" }} aria-label={t("segments.unit")} value={test.unit} onChange={(event) => set({ ...test, unit: event.target.value })}>
          {["days", "weeks", "months"].map((unit) => <option key={unit} value={unit}>{word("unit", unit)}</option>)}
        </select>
      )}
      <Button small look="quiet" icon="close" aria-label={t("segments.drop_test")} onClick={drop} />
      {!isWhole(test) && <span className="faint">{t("segments.incomplete")}</span>}
    </div>
  );
}

const CAMPAIGN_PAGES_MAX = 10;

/** Those that went out, newest first, by number and name. */
function useCampaigns(isAsked: boolean): [string, string][] | undefined {
  const { may } = useSession();
  const found = useQuery({
    queryKey: ["campaigns to ask about"],
    enabled: isAsked && may("campaigns_read"),
    staleTime: 60_000,
    queryFn: async () => {
      const all: [string, string][] = [];
      let cursor: number | undefined;
      for (let page = 0; page < CAMPAIGN_PAGES_MAX; page += 1) {
        const { items, next } = await got(client.GET("/v1/campaigns", { params: { query: { cursor } } }));
        all.push(...items.filter((one) => one.audience != null).map((one): [string, string] => [String(one.id), one.name]));
        if (!next) break;
        cursor = Number(next);
      }
      return all;
    },
  });
  return isAsked && may("campaigns_read") ? (found.data ?? []) : undefined;
}

const STATUSES: Schemas["ContactStatus"][] = ["active", "blocked"];

function Value({ test, kind, set }: { test: Test; kind: Kind; set: (test: Test) => void }) {
  const lists = api.useQuery("get", "/v1/lists", {}, { enabled: kind === "list" });
  const tags = api.useQuery("get", "/v1/tags", {}, { enabled: kind === "tag" });
  const campaigns = useCampaigns(kind === "campaign");
  const named = (names: string[] | undefined) => names?.map((name): [string, string] => [name, name]);
  const offered = kind === "list" ? named(lists.data?.items.map((one) => one.name)) : kind === "tag" ? named(tags.data?.items.map((one) => one.name)) : kind === "boolean" ? named(["true", "false"]) : kind === "status" ? named(STATUSES) : campaigns;
  const shared = { style: { width: "12rem" }, "aria-label": t("segments.value"), value: test.value };
  if (offered) {
    return (
      <select {...shared} onChange={(event) => set({ ...test, value: event.target.value })}>
        <option value="">–</option>
        {offered.map(([value, name]) => <option key={value} value={value}>{name}</option>)}
      </select>
    );
  }
  const isDate = ["before", "after"].includes(test.how);
  return <input {...shared} type={isDate ? "date" : needsUnit(test.how) || kind === "number" || kind === "score" || kind === "campaign" ? "number" : "text"} onChange={(event) => set({ ...test, value: event.target.value })} />;
}
