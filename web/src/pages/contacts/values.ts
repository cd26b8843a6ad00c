// Values of a contact's own fields: as inputs of a form, and back as the API takes them.
import { Refused, type Schemas } from "../../api/client";
import { t } from "../../lib/text";
import type { Field, Values } from "../../parts/form";

type Known = Schemas["FieldView"];
type Held = Pick<Schemas["Contact"], "fields" | "sealed">;

const NOBODY: Held = { fields: {} };

const isHidden = (known: Known, contact: Held) => contact.sealed?.includes(known.name) ?? false;

/** As an input holds it; empty where there is no value, or none that one may see. */
function inputOf(known: Known, contact: Held): string | string[] {
  const value = contact.fields[known.name];
  if (known.kind === "multi_choice") return Array.isArray(value) ? value.map(String) : [];
  if (value === undefined || value === null) return "";
  return known.kind === "json" ? JSON.stringify(value, null, 1) : String(value);
}

const nameOf = (known: Known) => `fields.${known.name}`;

function hintOf(known: Known, contact: Held): string | undefined {
  if (isHidden(known, contact)) return t("values.hidden_hint");
  if (known.encrypted) return t("values.encrypted_hint");
  return known.kind === "birthday" ? t("values.birthday_hint") : undefined;
}

const KINDS: Partial<Record<Known["kind"], Field["kind"]>> = { number: "number", date: "date", boolean: "select", choice: "select", multi_choice: "checks", json: "code" };

function optionsOf({ kind, choices }: Known): [string, string][] | undefined {
  const own = choices.map((choice): [string, string] => [choice, choice]);
  if (kind === "multi_choice") return own;
  if (kind === "choice") return [["", "–"], ...own];
  return kind === "boolean" ? [["", "–"], ["true", t("values.true")], ["false", t("values.false")]] : undefined;
}

export function valueFields(known: Known[], contact: Held = NOBODY): Field[] {
  return known.map((field): Field => ({
    name: nameOf(field),
    label: field.label || field.name,
    kind: KINDS[field.kind],
    options: optionsOf(field),
    step: field.kind === "number" ? "any" : undefined,
    value: inputOf(field, contact),
    hint: hintOf(field, contact),
    placeholder: isHidden(field, contact) ? "••••••" : field.kind === "birthday" ? "12-24" : undefined,
  }));
}

function valueOf(known: Known, text: string): unknown {
  if (known.kind === "boolean") return text === "true";
  if (known.kind === "number") return Number.isFinite(Number(text)) ? Number(text) : text;
  if (known.kind !== "json") return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new Refused({ status: 422, field: nameOf(known), detail: t("values.no_json") });
  }
}

/** What was changed; null takes a value away. */
export function valuesGiven(known: Known[], values: Values, contact: Held = NOBODY): Record<string, unknown> {
  const changed: Record<string, unknown> = {};
  for (const field of known) {
    const before = inputOf(field, contact);
    const now = values[nameOf(field)] ?? before;
    if (Array.isArray(now)) {
      if (JSON.stringify(now) !== JSON.stringify(before)) changed[field.name] = now.length > 0 ? now : null;
      continue;
    }
    const text = String(now).trim();
    if (text !== before) changed[field.name] = text === "" ? null : valueOf(field, text);
  }
  return changed;
}
