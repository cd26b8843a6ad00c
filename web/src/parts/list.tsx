// The list that every page uses: filters, states, cursor, choice of rows, CSV.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { csv, save } from "../lib/csv";
import { t } from "../lib/text";
import { Button } from "./basic";
import { type Filter, Filters, useFilters } from "./filters";
import { Icon } from "./icon";
import { type Item, Items, Menu } from "./menu";
import { Empty, explain, Failed, Loading } from "./state";
import { tell } from "./toast";

export interface Page<Row> {
  items: Row[];
  next?: string | null;
}

export interface Column<Row> {
  title: string;
  cell: (row: Row) => ReactNode;
  /** For the CSV; the cell itself when that is a text or number. */
  text?: (row: Row) => string;
  number?: boolean;
}

interface Props<Row> {
  /** Names the list: its query, its file of CSV. */
  name: string;
  label: string;
  load: (search: Record<string, string>, cursor: string | undefined) => Promise<Page<Row>>;
  columns: Column<Row>[];
  id: (row: Row) => string | number;
  filters?: Filter[];
  actions?: (row: Row) => Item[];
  empty: { title: string; text?: string; action?: ReactNode };
  /** Milliseconds after which it is asked for again. */
  every?: number;
  choose?: (chosen: Row[], clear: () => void) => ReactNode;
  above?: ReactNode;
  /** The API gives all of it at once: it is looked through here. */
  whole?: boolean;
  /** Of such a list: whether a row is meant by what its filters say. */
  keeps?: (row: Row, search: Record<string, string>) => boolean;
}

const CSV_PAGES_MAX = 200;

/** What every list by pages can be asked for: a part of its texts, and where it goes on. */
export function asked(search: Record<string, string>, cursor: string | undefined): { find?: string; cursor?: number } {
  return { find: search.find, cursor: cursor === undefined ? undefined : Number(cursor) };
}

/** Of a whole list: the row says what was chosen, or nothing was. */
export function says(wanted: string | undefined, said: string | number | null | undefined): boolean {
  return wanted === undefined || wanted === String(said ?? "");
}

export function byWords(label = t("list.find")): Filter {
  return { name: "find", label };
}

export function List<Row>(props: Props<Row>) {
  const { name, load, columns, empty } = props;
  const { values } = useFilters();
  const filters = props.whole ? [{ name: "find", label: t("list.find") }, ...(props.filters ?? [])] : props.filters;
  const { cursor, ...search } = values;
  const [chosen, setChosen] = useState<ReadonlySet<string | number>>(new Set());
  const query = useQuery({
    queryKey: ["list", name, values],
    queryFn: () => load(search, cursor),
    placeholderData: keepPreviousData,
    refetchInterval: props.every,
  });
  const all = query.data?.items ?? [];
  const wanted = props.whole ? (values.find ?? "").trim().toLowerCase() : "";
  const found = wanted === "" ? all : all.filter((row) => columns.some((column) => textOf(column, row).toLowerCase().includes(wanted)));
  const { keeps } = props;
  const rows = keeps === undefined ? found : found.filter((row) => keeps(row, values));
  const narrowed = filters?.some((filter) => values[filter.name]) ?? false;
  const drawn = () => {
    if (query.isPending) return <Loading rows={6} />;
    if (query.error && !query.data) return <Failed error={query.error} again={() => query.refetch()} />;
    if (rows.length > 0) return <Rows {...props} rows={rows} chosen={chosen} setChosen={setChosen} />;
    if (narrowed || cursor) return <Empty title={t("list.nothing_found")} text={t("list.nothing_found_text")} />;
    return <Empty title={empty.title} text={empty.text}>{empty.action}</Empty>;
  };
  const picked = rows.filter((row) => chosen.has(props.id(row)));
  return (
    <section className="card" aria-label={props.label} aria-busy={query.isFetching}>
      {filters && (all.length > 0 || narrowed || !props.whole) && <Filters filters={filters} />}
      {props.above}
      {query.error && query.data && <div className="chosen" role="alert">{explain(query.error)}</div>}
      {props.choose && picked.length > 0 && (
        <div className="chosen" role="region" aria-label={t("list.chosen_label")}>
          <strong>{t("list.chosen", { n: picked.length })}</strong>
          {props.choose(picked, () => setChosen(new Set()))}
        </div>
      )}
      {drawn()}
      {(rows.length > 0 || cursor) && <Foot shown={rows.length} next={query.data?.next ?? undefined} save={() => (props.whole ? saveRows(props.name, columns, rows) : saveAll(props.name, columns, (next) => load(search, next)))} />}
    </section>
  );
}

function Rows<Row>({ rows, columns, id, actions, choose, chosen, setChosen, label }: Props<Row> & { rows: Row[]; chosen: ReadonlySet<string | number>; setChosen: (chosen: ReadonlySet<string | number>) => void }) {
  const all = rows.every((row) => chosen.has(id(row)));
  const turn = (row: Row) => {
    const next = new Set(chosen);
    if (!next.delete(id(row))) next.add(id(row));
    setChosen(next);
  };
  return (
    // biome-ignore lint: what scrolls must be reachable by keyboard
    <div className="table-frame" tabIndex={0} role="group" aria-label={label}>
      <table className="as-cards">
        <thead>
          <tr>
            {choose && (
              <th><input type="checkbox" checked={all} onChange={() => setChosen(new Set(all ? [] : rows.map(id)))} aria-label={t("list.choose_all")} /></th>
            )}
            {columns.map((column) => <th key={column.title} scope="col" className={column.number ? "number" : ""}>{column.title}</th>)}
            {actions && <th scope="col"><span className="unseen">{t("list.actions")}</span></th>}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)}>
              {choose && (
                <td><input type="checkbox" checked={chosen.has(id(row))} onChange={() => turn(row)} aria-label={t("list.choose_one", { name: String(id(row)) })} /></td>
              )}
              {columns.map((column, at) => (
                <td key={column.title} data-title={at === 0 ? "" : column.title} className={column.number ? "number" : ""}>{column.cell(row)}</td>
              ))}
              {actions && <td className="acts"><RowMenu items={actions(row)} name={String(id(row))} /></td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function RowMenu({ items, name }: { items: Item[]; name: string }) {
  if (items.length === 0) return null;
  return (
    <Menu trigger={<Button small look="quiet" aria-label={t("list.actions_of", { name })}><Icon name="more" /></Button>}>
      <Items items={items} />
    </Menu>
  );
}

function Foot({ shown, next, save }: { shown: number; next?: string; save: () => Promise<void> }) {
  const { values } = useFilters();
  const [busy, setBusy] = useState(false);
  const { cursor, ...first } = values;
  return (
    <div className="foot">
      <span>{t("list.shown", { n: shown })}</span>
      <div className="row">
        <Button small look="quiet" icon="download" busy={busy} onClick={() => { setBusy(true); void save().finally(() => setBusy(false)); }}>{t("list.csv")}</Button>
        {cursor && <Link to="." search={first} className="button small">{t("list.first")}</Link>}
        {next && <Link to="." search={{ ...values, cursor: next }} className="button small">{t("list.next")}</Link>}
      </div>
    </div>
  );
}

export function plain(cell: ReactNode): string {
  return typeof cell === "string" || typeof cell === "number" ? String(cell) : "";
}

function textOf<Row>(column: Column<Row>, row: Row): string {
  return column.text?.(row) ?? plain(column.cell(row));
}

async function saveRows<Row>(name: string, columns: Column<Row>[], rows: Row[]): Promise<void> {
  save(`${name}.csv`, csv([columns.map((column) => column.title), ...rows.map((row) => columns.map((column) => textOf(column, row)))]));
}

async function saveAll<Row>(name: string, columns: Column<Row>[], load: (cursor: string | undefined) => Promise<Page<Row>>): Promise<void> {
  const table = [columns.map((column) => column.title)];
  try {
    let cursor: string | undefined;
    for (let page = 0; page < CSV_PAGES_MAX; page += 1) {
      const { items, next } = await load(cursor);
      for (const row of items) table.push(columns.map((column) => textOf(column, row)));
      if (!next) break;
      cursor = next;
    }
    save(`${name}.csv`, csv(table));
  } catch (error) {
    tell(explain(error), true);
  }
}
