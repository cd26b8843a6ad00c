// The catalogues: nothing is missing, nothing is left over, and both say the same values.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fill } from "../../src/lib/text";
import { de } from "../../src/texts/de";
import { en } from "../../src/texts/en";

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (/\.tsx?$/.test(entry.name) && !path.includes("texts") && !path.endsWith("schema.d.ts")) yield readFileSync(path, "utf8");
  }
}

const code = [...sources(join(import.meta.dirname, "../../src"))].join("\n");
/** Of `{n|one|many}` only the name: the words differ by language. */
const values = (text: string) => [...text.matchAll(/\{(\w+)/g)].map((found) => found[1]).sort();

test("every text exists in both languages, and is not empty", () => {
  expect(Object.keys(de)).toEqual(Object.keys(en));
  for (const [key, text] of Object.entries({ ...en, ...de })) expect(text.trim(), key).not.toBe("");
});

test("both languages show the same values", () => {
  for (const key of Object.keys(en) as (keyof typeof en)[]) expect(values(de[key]), key).toEqual(values(en[key]));
});

test("every text that the code asks for is in the catalogue", () => {
  const asked = [...code.matchAll(/\bt\("([a-z_.]+)"/g)].map((found) => found[1] ?? "");
  expect(asked.length).toBeGreaterThan(300);
  expect(asked.filter((key) => !(key in en))).toEqual([]);
});

test("no text is left over that nobody shows", () => {
  const groups = new Set([...code.matchAll(/(?:word|options)\("([a-z_]+)"/g)].map((found) => `${found[1]}.`));
  for (const found of code.matchAll(/t\(`([a-z_]+\.)/g)) groups.add(found[1] ?? "");
  const quoted = new Set([...code.matchAll(/"([a-z0-9_]+\.[a-z0-9_.]+)"/g)].map((found) => found[1]));
  const shown = (key: string) => quoted.has(key) || groups.has(`${key.split(".")[0]}.`);
  expect(Object.keys(en).filter((key) => !shown(key))).toEqual([]);
});

test("every kind of event and every meaning of a reply has a name", () => {
  const { schemas } = JSON.parse(readFileSync(join(import.meta.dirname, "../../openapi.json"), "utf8")).components;
  const named = (group: string, names: string[]) => names.filter((name) => !(`${group}.${name}` in en));
  expect(schemas.EventKind.enum.length).toBeGreaterThan(25);
  expect(named("event_of", schemas.EventKind.enum)).toEqual([]);
  expect(named("decision_rule", schemas.DecisionRule.enum)).toEqual([]);
});

/** Groups of the catalogue and the enumerations whose words they hold. */
const WORDS = {
  action_of: "Action", automation_state: "AutomationState", certificate_from: "CertificateOrigin", blame_of: "Blame", bounce_policy: "BouncePolicy", campaign_state: "CampaignState", consent: "ConsentAction", contact_status: "ContactStatus",
  field_kind: "FieldKind", health: "HealthState", import_mode: "ImportMode", import_state: "ImportState", inbound_call: "InboundCallState", inbound_fate: "InboundFate", permission: "Permission",
  reason_of: "ReasonKind", record_state: "RecordState", reply_class: "Class", report_kind: "ReportKind", role: "Role", route_action: "RouteAction", route_format: "RouteFormat", run_end: "RunEnd",
  run_state: "RunState", source_check: "SourceCheck", state_of: "State", step_done: "StepDone", suppressed_policy: "SuppressedPolicy", suppression_of: "SuppressionReason", tls_of: "TlsMode", tracking_way: "Tracking",
  verdict: "Verdict", warmup_state: "WarmupState", webhook_format: "WebhookFormat",
};

test("every word of the API that a page shows is in the catalogue", () => {
  const { schemas } = JSON.parse(readFileSync(join(import.meta.dirname, "../../openapi.json"), "utf8")).components;
  const missing = Object.entries(WORDS).flatMap(([group, schema]) => (schemas[schema].enum as string[]).map((name) => `${group}.${name}`).filter((key) => !(key in en)));
  expect(missing).toEqual([]);
});

test("a count brings its own word", () => {
  expect(fill("{n|mail|mails} waiting", { n: 1 }, "en")).toBe("1 mail waiting");
  expect(fill("{n|mail|mails} waiting", { n: 1234 }, "en")).toBe("1,234 mails waiting");
  expect(fill("{n|Mail|Mails}", { n: 1234 }, "de")).toBe("1.234 Mails");
  expect(fill("{name} and {other}", { name: "a{x}" }, "en")).toBe("a{x} and {other}");
});
