// What is worked out of a campaign's report before it is drawn.
import type { Schemas } from "../api/client";

export type Report = Schemas["CampaignReport"];
type Hour = Report["hours"][number];

const HOUR = 3_600_000_000;
const DAY = 24 * HOUR;
/** Up to so many hours each has a place of its own; longer stretches go by days. */
const HOURS_MAX = 72;

export interface Stretch {
  at: number;
  isDay: boolean;
  counts: Omit<Hour, "begins_at">;
}

const NOTHING: Stretch["counts"] = { delivered: 0, deferred: 0, failed: 0, opens: 0, clicks: 0, unsubscribed: 0, complained: 0 };

function plus(a: Stretch["counts"], b: Stretch["counts"]): Stretch["counts"] {
  const names = Object.keys(NOTHING) as (keyof Stretch["counts"])[];
  return Object.fromEntries(names.map((name) => [name, a[name] + b[name]])) as Stretch["counts"];
}

/** Midnight of the person's own zone before that moment. */
function midnight(at: number): number {
  const date = new Date(at / 1000);
  date.setHours(0, 0, 0, 0);
  return date.getTime() * 1000;
}

/** Hours without a gap between the first and the last; of a long campaign days. */
export function stretches(hours: Hour[]): Stretch[] {
  const first = hours[0]?.begins_at;
  const last = hours.at(-1)?.begins_at;
  if (first === undefined || last === undefined) return [];
  const isDay = last - first >= HOURS_MAX * HOUR;
  const begin = (at: number) => (isDay ? midnight(at) : at);
  const found = new Map<number, Stretch["counts"]>();
  // Half a day more is still the next day where a clock is put forward or back.
  for (let at = begin(first); at <= begin(last); at = isDay ? midnight(at + DAY + DAY / 2) : at + HOUR) found.set(at, NOTHING);
  for (const { begins_at, ...counts } of hours) found.set(begin(begins_at), plus(found.get(begin(begins_at)) ?? NOTHING, counts));
  return [...found].map(([at, counts]) => ({ at, isDay, counts }));
}

export interface Totals {
  delivered: number;
  opened: number;
  clicked: number;
  unsubscribed: number;
  complained: number;
  bounced: number;
}

export function totals(report: Report): Totals {
  const sum = (of: (variant: Report["variants"][number]) => number) => report.variants.reduce((all, variant) => all + of(variant), 0);
  return {
    delivered: sum((one) => one.delivered),
    opened: sum((one) => one.opened),
    clicked: sum((one) => one.clicked),
    unsubscribed: sum((one) => one.unsubscribed),
    complained: sum((one) => one.complained),
    bounced: report.bounced.reduce((all, one) => all + one.count, 0),
  };
}

export interface ByOperator {
  operator: string | null;
  source: string;
  delivered: number;
  refused: number;
}

/** What an operator took from a source and what it refused, in one row. */
export function byOperator(report: Report): ByOperator[] {
  const rows = new Map<string, ByOperator>();
  const row = (operator: string | null | undefined, source: string) => {
    const key = `${operator ?? ""}\n${source}`;
    const found = rows.get(key) ?? { operator: operator ?? null, source, delivered: 0, refused: 0 };
    rows.set(key, found);
    return found;
  };
  for (const one of report.delivered) row(one.operator, one.source).delivered += one.count;
  for (const one of report.bounced) row(one.operator, one.source).refused += one.count;
  return [...rows.values()].sort((a, b) => b.delivered + b.refused - (a.delivered + a.refused));
}

const PREVIEW_LINK = "https://preview.invalid/";
const LINKS_MAX = 250;

/** Signs the links of a mail with what they were clicked: numbered as the daemon numbers them. */
export function clickMap(html: string, clicks: Map<number, number>, sign: (count: number, share: number) => string): string {
  const page = new DOMParser().parseFromString(html, "text/html");
  const all = [...clicks.values()].reduce((sum, count) => sum + count, 0);
  let place = 0;
  for (const link of page.querySelectorAll<HTMLElement>("a[href], area[href]")) {
    const target = link.getAttribute("href") ?? "";
    if (!/^https?:/i.test(target) || target.startsWith(PREVIEW_LINK) || place >= LINKS_MAX) continue;
    const count = clicks.get(place) ?? 0;
    place += 1;
    const share = all === 0 ? 0 : count / all;
    const badge = page.createElement("span");
    badge.textContent = sign(count, share);
    badge.setAttribute("style", `display:inline-block;margin:0 4px;padding:1px 7px;border-radius:99px;font:600 12px/1.5 sans-serif;white-space:nowrap;background:${heat(share)};color:${share > 0.3 ? "#fff" : "#222"};border:1px solid #0003;text-decoration:none`);
    link.after(badge);
    link.setAttribute("style", `${link.getAttribute("style") ?? ""};outline:2px solid ${heat(share)};outline-offset:2px`);
  }
  return page.documentElement.outerHTML;
}

/** From grey over yellow to red. */
function heat(share: number): string {
  if (share === 0) return "#e3e6e8";
  return share > 0.6 ? "#b3261e" : share > 0.3 ? "#b3541e" : share > 0.1 ? "#f2b45a" : "#f8dfa8";
}

export type Measure = "opens" | "clicks";

const SHADES = 5;

/** How dark a country is on the map, from 0 (nothing) to 5 (as much as the most). By the root, so
 * that beside one large country the others can still be told apart. */
export function shade(count: number, most: number): number {
  return count <= 0 || most <= 0 ? 0 : Math.max(1, Math.ceil(SHADES * Math.sqrt(count / most)));
}
