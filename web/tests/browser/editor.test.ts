// The visual editor: by dragging with a pointer and by keyboard alone, undone and done again, and
// the preview is what the document becomes.
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fill } from "./sample";
import { browse, complaints, contextOf, Demo, PATIENCE_MS, signIn } from "./world";

let demo: Demo;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let said: string[];

beforeAll(async () => {
  [demo, browser] = await Promise.all([Demo.start(), browse()]);
  await fill(demo);
  context = await contextOf(browser, demo, { viewport: { width: 1440, height: 1000 } });
  await signIn(context, demo);
  page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  said = complaints(page);
}, 180_000);

afterAll(async () => {
  // The preview asks no other host, so it shows no picture of one.
  expect(said.filter((line) => !line.includes("https://shop.test/tea.png"))).toEqual([]);
  await browser?.close();
  await demo?.stop();
});

const handle = (what: RegExp | string) => page.locator(".canvas").getByRole("button", { name: what });
const order = () => page.locator(".canvas .block > .handle").evaluateAll((all) => all.map((one) => one.getAttribute("aria-label")?.split(":")[0]?.split(",")[0]));

async function drag(what: Locator, to: Locator) {
  const from = await what.boundingBox();
  const target = await to.boundingBox();
  if (!from || !target) throw new Error("it is not to be seen");
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2 + 12, { steps: 3 });
  await page.mouse.move(target.x + target.width / 2, target.y + target.height / 2, { steps: 8 });
  await page.mouse.up();
}

async function fresh() {
  await page.goto("/templates/visual");
  await page.locator(".canvas").waitFor();
  expect(await order()).toEqual(["Heading", "Text", "Button", "Text"]);
}

test("a pointer drags blocks in and about, and each step can be undone", async () => {
  await fresh();
  await drag(page.getByRole("button", { name: "Divider", exact: true }), page.locator('[data-gap="block"][data-at="0.0.1"]'));
  expect(await order()).toEqual(["Heading", "Divider", "Text", "Button", "Text"]);
  await drag(handle(/^Button/), page.locator('[data-gap="block"][data-at="0.0.0"]'));
  expect(await order()).toEqual(["Button", "Heading", "Divider", "Text", "Text"]);
  await page.getByRole("button", { name: "Undo", exact: true }).click();
  await page.getByRole("button", { name: "Undo", exact: true }).click();
  expect(await order()).toEqual(["Heading", "Text", "Button", "Text"]);
  await page.getByRole("button", { name: "Redo", exact: true }).click();
  expect(await order()).toEqual(["Heading", "Divider", "Text", "Button", "Text"]);
});

test("the keyboard picks a block up, carries it into another section and lays it down", async () => {
  await fresh();
  await handle(/^Heading/).focus();
  await page.keyboard.press("Space");
  for (let step = 0; step < 4; step += 1) await page.keyboard.press("ArrowDown");
  await page.getByText(/Heading: .*: place 2 in column 1 of section 2/).waitFor({ state: "attached" });
  await page.keyboard.press("Space");
  expect(await order()).toEqual(["Text", "Button", "Text", "Heading"]);
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Escape");
  expect(await order()).toEqual(["Text", "Button", "Text", "Heading"]);
  await page.keyboard.press("Delete");
  expect(await order()).toEqual(["Text", "Button", "Text"]);
  await page.keyboard.press("ControlOrMeta+z");
  expect(await order()).toEqual(["Text", "Button", "Text", "Heading"]);
});

test("what is put together is saved, drawn by the daemon, and read by the API", async () => {
  await fresh();
  await page.getByLabel("Name", { exact: true }).fill("Visual");
  await page.getByLabel("Subject", { exact: true }).fill("News for {{ name }}");
  await handle(/^Heading/).press("Enter");
  await page.locator(".inspector textarea").fill("Good morning {{ name }}");
  await page.getByRole("button", { name: "2 columns" }).click();
  await page.getByRole("button", { name: "Image", exact: true }).click();
  await page.getByLabel("Address of the image").fill("https://shop.test/tea.png");
  await page.getByLabel("What it shows").fill("Tea");
  await page.getByRole("button", { name: "Preview", exact: true }).click();
  const frame = page.frameLocator("iframe");
  // The frame is made anew with each answer: the subject beside it tells that the last one is here.
  const subject = page.locator("strong", { hasText: /^News for/ });
  await subject.waitFor();
  // Whoever is the newest contact by now.
  const name = ((await subject.textContent()) ?? "").replace("News for", "").trim();
  await frame.getByRole("heading", { name: `Good morning ${name}`.trim() }).waitFor();
  expect(await frame.locator('img[alt="Tea"]').getAttribute("src")).toBe("https://shop.test/tea.png");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("revision 1").waitFor();
  const { items } = await demo.call<{ items: { name: string; kind: string; body: string }[] }>("GET", "/v1/templates");
  const saved = items.find((one) => one.name === "Visual");
  expect(saved?.kind).toBe("document");
  const document = JSON.parse(saved?.body ?? "{}");
  expect(document.sections[0].columns[0].blocks[0].text).toBe("Good morning {{ name }}");
  expect(document.sections.some((one: { columns: unknown[] }) => one.columns.length === 2)).toBe(true);
});

test("a mistake is told by its path, and its block is marked", async () => {
  await fresh();
  await page.getByLabel("Name", { exact: true }).fill("Wrong");
  await handle(/^Heading/).press("Enter");
  await page.locator(".inspector textarea").fill("Hello {{ nobody_knows }}");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("document.sections[0].columns[0].blocks[0].text: there is no field 'nobody_knows'").first().waitFor();
  await page.locator(".block.wrong-one").waitFor();
});

test("a block that is saved stands in another mail", async () => {
  await fresh();
  await handle(/^Text: \[Unsubscribe/).press("Enter");
  await page.getByRole("button", { name: "Save block" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("Footer");
  await page.getByRole("dialog").getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Saved block: Footer").waitFor();
  await page.getByRole("button", { name: "Preview", exact: true }).click();
  await page.frameLocator("iframe").getByText("Unsubscribe").waitFor();
  await page.goto("/templates?view=blocks");
  await page.getByRole("cell", { name: "Footer" }).waitFor();
});
