import { expect, test } from "vitest";
import { Refused, type Schemas } from "../../src/api/client";
import { valueFields, valuesGiven } from "../../src/pages/contacts/values";

const field = (name: string, kind: Schemas["FieldKind"], more: Partial<Schemas["FieldView"]> = {}): Schemas["FieldView"] => ({ id: 1, name, label: "", kind, choices: [], fast: true, encrypted: false, ...more });

const KNOWN = [field("city", "text"), field("size", "number"), field("vip", "boolean"), field("teas", "multi_choice", { choices: ["green", "black"] }), field("more", "json"), field("passport", "text", { encrypted: true })];
const ANN = { fields: { city: "Bonn", size: 2.5, vip: false, teas: ["green"], more: { a: 1 } }, sealed: ["passport"] };

test("a form that nobody changed sends nothing", () => {
  const untouched = Object.fromEntries(valueFields(KNOWN, ANN).map((one) => [one.name, one.value ?? ""]));
  expect(untouched["fields.size"]).toBe("2.5");
  expect(valuesGiven(KNOWN, untouched, ANN)).toEqual({});
});

test("each kind of value goes back as what it is, and an empty one is taken away", () => {
  const typed = { "fields.city": " ", "fields.size": "3", "fields.vip": "true", "fields.teas": ["green", "black"], "fields.more": "[1]", "fields.passport": "C01X" };
  expect(valuesGiven(KNOWN, typed, ANN)).toEqual({ city: null, size: 3, vip: true, teas: ["green", "black"], more: [1], passport: "C01X" });
});

test("a value that one may not see is neither shown nor taken away by not being typed again", () => {
  const passport = valueFields(KNOWN, ANN).find((one) => one.name === "fields.passport");
  expect(passport?.value).toBe("");
  expect(valuesGiven(KNOWN, { "fields.passport": "" }, ANN)).toEqual({});
});

test("what is no JSON is refused at its field", () => {
  const wrong = () => valuesGiven(KNOWN, { "fields.more": "{" }, ANN);
  expect(wrong).toThrow(Refused);
  try {
    wrong();
  } catch (error) {
    expect((error as Refused).problem.field).toBe("fields.more");
  }
});
