// Each operation of the API can be reached in the panel, or is for programs.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/** What no page asks for, each with its reason. */
const NOT_IN_THE_PANEL: Record<string, string> = {
  "GET /health/live": "whoever starts and ends the daemon asks",
  "GET /health/ready": "a load balancer asks",
  "GET /metrics": "Prometheus asks",
  "GET /v1/openapi.json": "the panel is built from it",
  "GET /v1/events/stream": "Home asks for the events after the last one, which a proxy cannot hold up",
  "GET /v1/campaigns/compare": "the page of comparison reads the reports themselves",
  "GET /v1/sources/{name}": "the list holds the same of each",
  "POST /v1/automation-events": "an application tells of events",
  "POST /v1/messages/batch": "applications send many at once",
  "POST /v1/messages/raw": "applications send what is written already",
  "POST /v1/messages/template": "applications send by templates",
  "POST /v1/relays/ses": "a provider tells of its mail",
};

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (/\.tsx?$/.test(entry.name) && entry.name !== "schema.d.ts") yield readFileSync(path, "utf8");
  }
}

const web = join(import.meta.dirname, "../..");
const code = [...sources(join(web, "src"))].join("\n");

/** By the typed client and its hooks; and what is no JSON by `fetch`. */
function asked(): Set<string> {
  const found = new Set<string>();
  for (const [, method, path] of code.matchAll(/client\.([A-Z]+)\(\s*"([^"]+)"/g)) found.add(`${method} ${path}`);
  for (const [, method, path] of code.matchAll(/api\.use\w+\(\s*"([a-z]+)",\s*"([^"]+)"/g)) found.add(`${method?.toUpperCase()} ${path}`);
  for (const [, path, more] of code.matchAll(/fetch\(`(\/v1\/[^`?]*?)(?:\?[^`]*|\$\{query\})?`(, \{ method: "POST")?/g)) found.add(`${more ? "POST" : "GET"} ${path?.replace(/\$\{[\w.]+\}/g, "{id}")}`);
  return found;
}

function operations(): string[] {
  const { paths } = JSON.parse(readFileSync(join(web, "openapi.json"), "utf8")) as { paths: Record<string, object> };
  const methods = ["get", "post", "put", "patch", "delete"];
  return Object.entries(paths).flatMap(([path, item]) => Object.keys(item).filter((name) => methods.includes(name)).map((name) => `${name.toUpperCase()} ${path}`));
}

test("each operation is used by a page, or stands in a short list with its reason", () => {
  const used = asked();
  const all = operations();
  expect(all.length).toBeGreaterThan(200);
  expect(all.filter((one) => !used.has(one) && !(one in NOT_IN_THE_PANEL)), "neither used nor left out").toEqual([]);
  expect(Object.keys(NOT_IN_THE_PANEL).filter((one) => used.has(one) || !all.includes(one)), "left out without need").toEqual([]);
  expect([...used].filter((one) => !all.includes(one)), "not in the document").toEqual([]);
});
