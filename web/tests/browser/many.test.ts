// Many things at once: lists narrowed by what stands in the address bar, and changes to all found.
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fill, type Sample } from "./sample";
import { browse, complaints, contextOf, Demo, PATIENCE_MS, signIn } from "./world";

let demo: Demo;
let sample: Sample;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let said: string[];

const dialog = () => page.getByRole("dialog");
const button = (name: string | RegExp, within: Page | Locator = page) => within.getByRole("button", { name, exact: typeof name === "string" });

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
  expect(said).toEqual([]);
  await browser?.close();
  await demo?.stop();
});

test("what narrows a list stands in the address bar, and an address narrows it", async () => {
  await page.goto("/audit");
  await page.getByRole("searchbox", { name: "Find" }).fill("webhook");
  await page.waitForURL(/find=webhook/);
  const rows = page.getByRole("table").getByRole("row");
  // The row of heads, and one for each change that was found.
  await page.waitForFunction(() => {
    const found = [...document.querySelectorAll("tbody tr")];
    return found.length > 0 && found.every((row) => row.textContent?.toLowerCase().includes("webhook"));
  });
  expect(await rows.count()).toBeGreaterThan(1);
  await page.goto("/templates?find=welc&kind=html");
  await page.getByRole("link", { name: "Welcome" }).waitFor();
  await page.getByLabel("Kind").selectOption({ label: "Markdown" });
  await page.getByText("Nothing found").waitFor();
  // What narrows one view means nothing in the next.
  await page.getByRole("tab").nth(1).click();
  await page.waitForURL((url) => url.search === "?view=layouts");
});

test("all contacts that were found get the same change, and it is said first how many they are", async () => {
  await page.goto("/contacts?email=ann");
  await button("Change…").first().click();
  await dialog().getByText("It concerns 1 contact.").waitFor();
  await dialog().getByLabel(/^Put tags/).fill("gold");
  await button("Change 1 contact", dialog()).click();
  await page.getByText("1 contact is changed.").waitFor();
  await page.getByRole("row", { name: /ann@/ }).getByText("gold").waitFor();
});

test("chosen contacts are removed after it was said how many", async () => {
  await page.goto("/contacts");
  for (const name of ["carol", "dave"]) await page.getByRole("row", { name: new RegExp(name) }).getByRole("checkbox").check();
  await button("Remove contacts…", page.getByRole("region", { name: /chosen/i })).click();
  await dialog().getByText("It concerns 2 contacts.").waitFor();
  await button("Remove 2 contacts", dialog()).click();
  await page.getByText("2 contacts are gone.").waitFor();
  await page.getByRole("row", { name: /carol/ }).waitFor({ state: "detached" });
});

test("a copy of a campaign is a draft that can be changed", async () => {
  await page.goto(`/campaigns/${sample.campaign}`);
  await button("Copy").click();
  await page.getByRole("tab", { name: "Edit", selected: true }).waitFor();
  await page.getByText("draft", { exact: true }).waitFor();
});

test("a domain's keys are listed, and one that signs is not removed", async () => {
  await page.goto("/domains/shop.test");
  await button(/^Remove key /).first().click();
  await button("Remove key", dialog()).click();
  await dialog().getByRole("alert").waitFor();
  await button("Cancel", dialog()).click();
});
