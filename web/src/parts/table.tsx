// A table of what is all there: no pages, but with its CSV.
import type { ReactNode } from "react";
import { Card } from "./basic";
import { type Column, plain } from "./list";
import { Sheet } from "./sheet";

interface Props<Row> {
  /** Names the file of CSV. */
  name: string;
  title: string;
  rows: Row[];
  columns: Column<Row>[];
  id: (row: Row) => string | number;
  /** Instead of the table, when there is no row. */
  empty: ReactNode;
  actions?: ReactNode;
  /** It scrolls by itself instead of making the page longer. */
  tall?: boolean;
  /** Above the table. */
  children?: ReactNode;
}

export function Table<Row>({ name, title, rows, columns, id, empty, actions, tall, children }: Props<Row>) {
  const sheet = () => [columns.map((column) => column.title), ...rows.map((row) => columns.map((column) => column.text?.(row) ?? plain(column.cell(row))))];
  return (
    <Card bare title={title} actions={<>{actions}{rows.length > 0 && <Sheet name={name} title={title} rows={sheet} />}</>}>
      {children && <div className="body">{children}</div>}
      {rows.length === 0 ? empty : (
        // biome-ignore lint: what scrolls must be reachable by keyboard
        <div className={tall ? "table-frame tall" : "table-frame"} tabIndex={0} role="group" aria-label={title}>
          <table className="as-cards">
            <thead>
              <tr>{columns.map((column) => <th key={column.title} scope="col" className={column.number ? "number" : ""}>{column.title}</th>)}</tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={id(row)}>
                  {columns.map((column, at) => <td key={column.title} data-title={at === 0 ? "" : column.title} className={column.number ? "number" : ""}>{column.cell(row)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}
