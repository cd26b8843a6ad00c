// Times of the API are microseconds since 1970 UTC; people see them in their own zone.
import { spoken } from "./text";

export type Micros = number;

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

export function toDate(at: Micros): Date {
  return new Date(at / 1000);
}

export function moment(at: Micros): string {
  return toDate(at).toLocaleString(spoken(), { dateStyle: "medium", timeStyle: "medium" });
}

export function ago(at: Micros, now = Date.now()): string {
  const seconds = (at / 1000 - now) / 1000;
  const format = new Intl.RelativeTimeFormat(spoken(), { numeric: "auto", style: "short" });
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) return format.format(Math.trunc(seconds / length), unit);
  }
  return format.format(0, "second");
}

/** A day of the week; Monday is 1. */
export function dayName(day: number): string {
  // The first day of 2024 was a Monday.
  return new Date(Date.UTC(2024, 0, day)).toLocaleDateString(spoken(), { weekday: "long", timeZone: "UTC" });
}

/** What an `<input type="datetime-local">` holds, as the API's time. */
export function ofInput(text: string): Micros | undefined {
  const at = new Date(text).getTime();
  return Number.isNaN(at) ? undefined : at * 1000;
}

export function toInput(at: Micros): string {
  const date = toDate(at);
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toLocaleString(spoken(), { maximumFractionDigits: unit === 0 ? 0 : 1 })} ${units[unit]}`;
}
