// The rows of the segment builder, as the text that the API reads.
import type { Schemas } from "../api/client";

export interface Test {
  /** A field's name, or `tag`, `list`, `campaign`, `email`, `created`, `opened`, `clicked`. */
  what: string;
  how: string;
  value: string;
  unit: string;
}

export interface Rows {
  join: "and" | "or";
  tests: Test[];
}

export type Kind = Schemas["FieldKind"] | "tag" | "list" | "moment" | "email" | "sealed" | "status" | "score" | "campaign";

const OWN: [string, Kind][] = [["tag", "tag"], ["list", "list"], ["email", "email"], ["name", "text"], ["domain", "text"], ["language", "text"], ["status", "status"], ["created", "moment"], ["opened", "moment"], ["clicked", "moment"], ["delivered", "moment"], ["deferred", "moment"], ["bounced", "moment"], ["bounce_class", "text"], ["operator", "text"], ["score", "score"], ["campaign", "campaign"]];

/** What can be asked about, with how it is compared. */
export function subjects(fields: (Pick<Schemas["FieldView"], "name" | "kind"> & { encrypted?: boolean })[]): Map<string, Kind> {
  return new Map([...OWN, ...fields.map((field): [string, Kind] => [field.name, field.encrypted ? "sealed" : field.kind])]);
}

const TEXT = ["=", "!=", "contains", "starts with", "ends with", "is empty", "is not empty"];
const NUMBER = ["=", "!=", "<", "<=", ">", ">=", "is empty", "is not empty"];
const DATE = ["within last", "not within last", "within next", "before", "after", "is empty", "is not empty"];

/** What becomes of a campaign's mail to a person. */
const FATES = ["opened", "clicked", "delivered", "waiting", "held", "failed", "expired", "cancelled", "suppressed"];

const OPERATORS: Partial<Record<Kind, string[]>> = {
  tag: ["has", "has not"],
  list: ["has", "has not"],
  email: ["contains", "=", "starts with", "ends with"],
  moment: ["within last", "not within last", "before", "after"],
  number: NUMBER,
  date: DATE,
  birthday: ["anniversary within next", "anniversary today", "is empty", "is not empty"],
  boolean: ["="],
  status: ["="],
  score: [">=", "<=", "top"],
  campaign: FATES.flatMap((fate) => [`is ${fate}`, `is not ${fate}`]),
  // Of an encrypted value it can be told whether it is this one, and nothing else.
  sealed: ["=", "!=", "is empty", "is not empty"],
};

export function operators(kind: Kind): string[] {
  return OPERATORS[kind] ?? TEXT;
}

export function needsValue(how: string): boolean {
  return !["is empty", "is not empty", "anniversary today"].includes(how);
}

export function needsUnit(how: string): boolean {
  return how.includes("within");
}

function literal(text: string): string {
  return /^-?\d+(\.\d+)?$/.test(text) || /^\d{4}-\d\d-\d\d$/.test(text) ? text : `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

function one(test: Test): string {
  const { what, how, value, unit } = test;
  if (what === "campaign") return how.startsWith("is not ") ? `not campaign ${literal(value)} is ${how.slice(7)}` : `campaign ${literal(value)} ${how}`;
  if (how === "has") return `${what} ${literal(value)}`;
  if (how === "has not") return `not ${what} ${literal(value)}`;
  if (!needsValue(how)) return `${what} ${how}`;
  if (needsUnit(how)) return `${what} ${how} ${value} ${unit}`;
  return `${what} ${how} ${literal(value)}`;
}

export function isWhole(test: Test): boolean {
  return !needsValue(test.how) || test.value.trim() !== "";
}

export function textOf(rows: Rows): string {
  return rows.tests.filter(isWhole).map(one).join(` ${rows.join} `);
}
