// States of the API as coloured words.
import type { Schemas } from "../api/client";
import { t, word } from "../lib/text";
import { Badge, type Tone } from "./basic";

const STATES: Record<Schemas["State"], Tone> = { waiting: "info", leased: "info", held: "warn", cancelled: "plain", expired: "bad", delivered: "good", failed: "bad", suppressed: "warn" };
export const STATE_NAMES = Object.keys(STATES) as Schemas["State"][];

export function StateBadge({ state }: { state: Schemas["State"] }) {
  return <Badge tone={STATES[state]}>{word("state_of", state)}</Badge>;
}

const EVENTS: Partial<Record<string, Tone>> = { accepted: "info", delivered: "good", deferred: "warn", failed: "bad", expired: "bad", held: "warn", suppressed: "warn", bounced: "bad", complained: "bad", delayed: "warn", unsubscribed: "warn", alarm: "bad", source_red: "bad", source_green: "good", limit_reached: "warn", opened: "good", clicked: "good" };

export function toneOfEvent(kind: string): Tone {
  return EVENTS[kind] ?? "plain";
}

export function EventBadge({ kind }: { kind: string }) {
  return <Badge tone={toneOfEvent(kind)}>{word("event_of", kind)}</Badge>;
}

/** Words to choose from, as a list of options. */
export function options(group: string, names: readonly string[]): [string, string][] {
  return names.map((name) => [name, word(group, name)]);
}

/** Who is not known as a large operator counts to the tail. */
export function operatorName(name: string | null | undefined): string {
  return name == null || name === "tail" ? t("progress.others") : name;
}
