// What is kept from some: encrypted fields by role; and what is said of readers: tracking, look of
// the public pages, the map of a campaign's report.
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
const button = (name: string, within: Page | Locator = page) => within.getByRole("button", { name, exact: true });

async function opened(of: BrowserContext): Promise<Page> {
  const made = await of.newPage();
  made.setDefaultTimeout(PATIENCE_MS);
  return made;
}

beforeAll(async () => {
  [demo, browser] = await Promise.all([Demo.start(), browse()]);
  sample = await fill(demo);
  context = await contextOf(browser, demo);
  await signIn(context, demo);
  page = await opened(context);
  said = complaints(page);
}, 180_000);

afterAll(async () => {
  expect(said).toEqual([]);
  await browser?.close();
  await demo?.stop();
});

test("a field is made encrypted, and a new key seals its values", async () => {
  await page.goto("/lists?view=fields");
  await button("Add field").click();
  await dialog().getByLabel("Name").fill("tax_number");
  await dialog().getByLabel("Encrypt its values").check();
  await button("Add field", dialog()).click();
  await page.getByRole("row", { name: /tax_number/ }).getByText("encrypted", { exact: true }).waitFor();
  await button("Make a new key").click();
  await button("Make a new key", dialog()).click();
  await page.getByText(/All values are sealed by the newest key; 4 contacts were changed/).waitFor();
});

test("an admin reads and changes an encrypted value", async () => {
  await page.goto(`/contacts/${sample.contact}`);
  await page.getByText("C01X00T47").waitFor();
  await button("Change").click();
  await dialog().getByLabel(/^Passport/).fill("C99");
  await button("Save", dialog()).click();
  await page.getByText("C99").waitFor();
});

test("whose role may not see it is told that there is a value", async () => {
  const reader = { email: "reader@shop.test", password: "a long password" };
  await demo.asAdmin("POST", "/v1/installation/users", { ...reader, name: "Reader", role: "read_only", organization: 1 });
  const other = await contextOf(browser, demo);
  const signed = await other.request.post(`${demo.ready.http}/v1/session`, { data: reader, headers: { "sec-fetch-site": "same-origin" } });
  expect(signed.status()).toBe(200);
  const theirs = await opened(other);
  await theirs.goto(`/contacts/${sample.contact}`);
  await theirs.getByText("not shown to your role").waitFor();
  expect(await theirs.getByText("C99").count()).toBe(0);
  await theirs.goto("/lists?view=fields");
  await theirs.getByText(/You see of encrypted fields that they have a value/).waitFor();
  expect(await button("Make a new key", theirs).count()).toBe(0);
  await other.close();
});

test("a stream and a domain say what submitted mail tells of its readers", async () => {
  await page.goto("/organizations/1");
  await button("Tracking of transactional").click();
  await dialog().getByLabel("Submitted mail tells").selectOption({ label: "opens and clicks" });
  await button("Save", dialog()).click();
  await dialog().waitFor({ state: "detached" });
  await page.goto("/domains/shop.test");
  await page.getByLabel("Submitted mail tells").selectOption({ label: "clicks" });
  await button("Save").click();
  await page.getByText("Saved.").waitFor();
  const streams = await demo.asAdmin<{ items: { id: number; name: string }[] }>("GET", "/v1/streams");
  const stream = streams.items.find((one) => one.name === "transactional");
  expect(await demo.asAdmin("GET", `/v1/streams/${stream?.id}/tracking`)).toEqual({ tracking: "both" });
  expect(await demo.asAdmin("GET", "/v1/domains/shop.test/tracking")).toEqual({ tracking: "clicks" });
});

test("the look of public pages is seen before it is saved, and what is refused stands at its field", async () => {
  await page.goto("/organizations/1?view=public");
  await page.getByLabel("Colour", { exact: false }).last().fill("#ffee00");
  await page.getByText("White text on this colour is hard to read").waitFor();
  await page.getByLabel("Colour", { exact: false }).last().fill("green");
  await button("Save").first().click();
  await page.getByText("must be like #0a7f5a").waitFor();
  await page.getByLabel("Colour", { exact: false }).last().fill("#0a5f4a");
  await page.getByLabel("Footer").fill("Tea Ltd, Street 2");
  await page.getByLabel("How a public page looks").getByText("Tea Ltd, Street 2").waitFor();
  await button("Save").first().click();
  await page.getByText("Saved.").waitFor();
  await page.getByLabel(/^Host/).fill("click.elsewhere.test");
  await button("Save").nth(1).click();
  await page.getByText("must lie within a verified sending domain").waitFor();
});

test("a report without countries says how to get them, and with them draws a map beside a table", async () => {
  const address = `/campaigns/${sample.campaign}/report`;
  await page.goto(address);
  await page.getByText("No country is known").waitFor();
  await page.getByText(/http\.geography/).waitFor();
  await page.route("**/v1/campaigns/*/report", async (route) => {
    const answer = await route.fetch();
    const report = await answer.json();
    await route.fulfill({ json: { ...report, countries: [{ country: "DE", opens: 40, clicks: 4 }, { country: "SG", opens: 10, clicks: 6 }] } });
  });
  await page.goto(address);
  const map = page.getByRole("img", { name: /World map: 2 countries/ });
  expect(await map.locator("path.shade-5 title").textContent()).toBe("Germany: 40 opens, 4 clicks");
  expect(await map.locator("circle title").textContent()).toBe("Singapore: 10 opens, 6 clicks");
  expect(await page.getByRole("row", { name: /Singapore/ }).textContent()).toContain("10 · 20");
  await page.getByLabel("Shade by").selectOption({ label: "Clicks" });
  await map.locator("circle.shade-5").waitFor();
  await page.unroute("**/v1/campaigns/*/report");
});
