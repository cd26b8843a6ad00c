// An entry and a span of time in a sentence.
import type { Schemas } from "../../api/client";
import { spoken, t } from "../../lib/text";

type Entry = Schemas["AutomationEntry"];

export function sayEntry(entry: Entry, listName: (list: number) => string): string {
  switch (entry.kind) {
    case "subscription": return t("automations.by_list", { list: listName(entry.list) });
    case "tag": return t("automations.by_tag", { tag: entry.tag });
    case "event": return t("automations.by_event", { event: entry.event });
    case "date": return t("automations.by_date", { field: entry.field, days: entry.days ?? 0, zone: entry.zone });
  }
}

export const UNITS: [string, number][] = [["days", 86_400], ["hours", 3_600], ["minutes", 60]];

/** The largest unit that divides it. */
export function unitOf(seconds: number): [string, number] {
  return UNITS.find(([, length]) => seconds % length === 0) ?? ["minutes", 60];
}

export function saySpan(seconds: number): string {
  const [unit, length] = unitOf(seconds);
  return new Intl.NumberFormat(spoken(), { style: "unit", unit: unit.slice(0, -1), unitDisplay: "long" }).format(seconds / length);
}
