// Every page of the router's list: it draws, says nothing to the console, fits a phone, and axe
// finds nothing serious, in both themes.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PAGES } from "../../src/pages";
import { addressOf, fill, type Sample, VIEWS } from "./sample";
import { browse, complaints, contextOf, Demo, PATIENCE_MS, signIn } from "./world";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let demo: Demo;
let sample: Sample;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let said: string[];

beforeAll(async () => {
  [demo, browser] = await Promise.all([Demo.start(), browse()]);
  sample = await fill(demo);
  context = await contextOf(browser, demo);
  await signIn(context, demo);
  page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  said = complaints(page);
}, 180_000);

afterAll(async () => {
  await browser?.close();
  await demo?.stop();
});

/** Once nothing is being loaded any more. */
export async function settled(of: Page): Promise<void> {
  await of.waitForSelector("main h1, main h2");
  await of.waitForFunction(() => document.querySelector(".bones") === null);
}

interface Finding {
  id: string;
  impact: string | null;
  nodes: { html: string; failureSummary?: string }[];
}

async function findings(rules?: string[]): Promise<string[]> {
  const run = (only: string[] | undefined) => (window as never as { axe: { run: (of: Document, how: object) => Promise<{ violations: Finding[] }> } }).axe.run(document, { resultTypes: ["violations"], ...(only ? { runOnly: only } : {}) });
  const { violations } = await page.evaluate(run, rules);
  const serious = violations.filter((one) => one.impact === "serious" || one.impact === "critical");
  return serious.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html} ${node.failureSummary ?? ""}`));
}

describe("every page of the router's list", () => {
  for (const path of [...PAGES.map((entry) => entry.path), ...VIEWS]) {
    test(`${path} draws, is whole for a screen reader in both themes, and fits a phone`, async () => {
      said.length = 0;
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.goto(addressOf(path, sample));
      await settled(page);
      await page.evaluate(axe);
      expect(await findings(), "light").toEqual([]);
      await page.evaluate(() => { document.documentElement.dataset.theme = "dark"; });
      expect(await findings(["color-contrast"]), "dark").toEqual([]);
      await page.setViewportSize({ width: 390, height: 844 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect(overflow, "wider than the phone").toBeLessThanOrEqual(0);
      expect(said).toEqual([]);
    }, 60_000);
  }
});

test("a page that does not exist says so", async () => {
  await page.goto("/nothing/here");
  await page.getByText("No such page").waitFor();
});

test("no page asks another host for anything", async () => {
  const asked: string[] = [];
  page.on("request", (request) => asked.push(new URL(request.url()).host));
  await page.goto("/");
  await settled(page);
  expect(new Set(asked)).toEqual(new Set([new URL(demo.ready.http).host]));
});
