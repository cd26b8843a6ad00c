// Filters, sort and cursor live in the address bar, so that a view can be sent to somebody.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { t } from "../lib/text";
import { Button } from "./basic";

export type Search = Record<string, string>;
type Changes = Record<string, string | undefined>;

export function useFilters(): { values: Search; set: (changes: Changes, push?: boolean) => void } {
  const values = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const set = (changes: Changes, push = false) => {
    const { cursor: _, ...kept } = values;
    const next = Object.entries({ ...kept, ...changes }).filter((entry): entry is [string, string] => Boolean(entry[1]));
    void navigate({ to: ".", search: Object.fromEntries(next), replace: !push });
  };
  return { values, set };
}

export interface Filter {
  name: string;
  label: string;
  kind?: "text" | "select" | "moment";
  options?: [string, string][];
  /** Of a choice: what holds when nothing is chosen. */
  all?: string;
  placeholder?: string;
}

const TYPING_MS = 300;
const SHOWN_AT_ONCE = 4;

export function Filters({ filters }: { filters: Filter[] }) {
  const { values, set } = useFilters();
  const used = filters.some((filter) => values[filter.name]);
  // Where there is little room, only the first of many stand there at once.
  const [open, setOpen] = useState(false);
  const many = filters.length > SHOWN_AT_ONCE;
  return (
    <search className={["filters", many && "many", open && "open"].filter(Boolean).join(" ")}>
      {filters.map((filter) => (
        <label key={filter.name} className={values[filter.name] ? "used" : ""}>
          {filter.label}
          {filter.kind === "select" ? (
            <select value={values[filter.name] ?? ""} onChange={(event) => set({ [filter.name]: event.target.value })}>
              <option value="">{filter.all ?? t("filter.all")}</option>
              {filter.options?.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
            </select>
          ) : (
            <Typed filter={filter} value={values[filter.name] ?? ""} set={(value) => set({ [filter.name]: value })} />
          )}
        </label>
      ))}
      {many && <Button look="quiet" className="more" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? t("filter.fewer") : t("filter.more")}</Button>}
      {used && (
        <Button look="quiet" onClick={() => set(Object.fromEntries(filters.map((filter) => [filter.name, undefined])))}>
          {t("filter.clear")}
        </Button>
      )}
    </search>
  );
}

/** Searches as one types, but not at every letter. */
function Typed({ filter, value, set }: { filter: Filter; value: string; set: (value: string) => void }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed === value) return;
    const timer = setTimeout(() => set(typed.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  });
  return <input type={filter.kind === "moment" ? "datetime-local" : "search"} value={typed} placeholder={filter.placeholder} onChange={(event) => setTyped(event.target.value)} />;
}
