// Many things at once: lists narrowed by what stands in the address bar, kept as CSV, and changes to
// all found, after it was said to how many.
import { readFileSync } from "node:fs";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fill, type Sample, until } from "./sample";
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

/** What a button gives away as a file. */
async function kept(what: Locator): Promise<string> {
  const [download] = await Promise.all([page.waitForEvent("download"), what.click()]);
  return readFileSync(await download.path(), "utf8");
}

test("credentials are narrowed by state and scope, and the address bar says so", async () => {
  const { credential } = await demo.asAdmin<{ credential: { name: string } }>("POST", "/v1/credentials", { name: "old-shop", rules: { scopes: ["send"] } });
  await demo.asAdmin("DELETE", `/v1/credentials/${credential.name}`);
  await page.goto("/credentials?state=revoked");
  await page.getByRole("row", { name: /old-shop/ }).waitFor();
  expect(await page.getByRole("table").getByRole("row").count()).toBe(2);
  await page.getByLabel("State").selectOption({ label: "valid" });
  await page.waitForURL(/state=valid/);
  await page.getByRole("row", { name: /old-shop/ }).waitFor({ state: "detached" });
  await page.getByLabel(/^May/).selectOption({ label: "send mail" });
  await page.waitForURL(/scope=send/);
});

test("the story of a person, the matrix and a mapping are kept as CSV", async () => {
  await until(async () => {
    const story = await demo.call<{ mails: { state: string }[] }>("GET", `/v1/contacts/${sample.contact}/story`);
    return story.mails.some((mail) => mail.state === "delivered") ? true : undefined;
  });
  await page.goto(`/contacts/${sample.contact}`);
  const story = await kept(button("CSV of: Mails to this person"));
  expect(story.split("\r\n")[0]).toBe("Subject,Sender,Accepted,State,When,What happened,Last answer");
  expect(story).toMatch(/,delivered,/);
  await page.goto("/deliverability");
  const matrix = await kept(button("CSV of: Sources and operators"));
  expect(matrix).toMatch(/^news-1,google,/m);
  await page.goto(`/imports/${sample.import}`);
  const columns = await kept(button(/^CSV of: /));
  expect(columns).toContain("Köln");
});

test("a segment asks what became of a campaign's mail, by the campaign's name", async () => {
  await page.goto("/segments");
  await button("Add segment").first().click();
  await button("Add test", dialog()).click();
  await dialog().getByLabel("What", { exact: true }).selectOption({ value: "campaign" });
  await dialog().getByLabel("Comparison").selectOption({ value: "is not opened" });
  await dialog().getByLabel("Value", { exact: true }).selectOption({ label: "November" });
  expect(await dialog().getByLabel("As text").inputValue()).toBe(`not campaign ${sample.campaign} is opened`);
  await dialog().getByText(/contacts? fits?/).waitFor();
});

test("a campaign is sent again to those who did not read it, as a draft that says whom it leaves out", async () => {
  await page.goto(`/campaigns/${sample.campaign}`);
  await button("Send again…").click();
  await dialog().getByText(/(people|person) now/).waitFor();
  await button("Make draft", dialog()).click();
  await page.getByRole("tab", { name: "Edit", selected: true }).waitFor();
  expect(await page.getByLabel(/But not whom this asks for/).inputValue()).toContain(`campaign ${sample.campaign} is opened`);
});

test("a draft keeps the days to rest, the days of the week and the data that the form says", async () => {
  const draft = await demo.call<{ id: number }>("POST", `/v1/campaigns/${sample.campaign}/copy`);
  await page.goto(`/campaigns/${draft.id}?view=edit`);
  await page.getByLabel(/^Leave out who had mail within/).fill("3");
  await page.getByLabel(/^Only within these hours/).fill("08:00-20:00");
  await page.getByLabel("Monday").check();
  await page.getByLabel(/^Data for the template/).fill("{");
  await button("Save").click();
  await page.getByText(/must be a JSON object/).waitFor();
  await page.getByLabel(/^Data for the template/).fill('{"product": "Tea"}');
  await button("Save").click();
  await page.getByText("Saved.").waitFor();
  const { content, settings } = await demo.call<{ content: { data: unknown }; settings: { rest_days: number; window: { days: number[] } } }>("GET", `/v1/campaigns/${draft.id}`);
  expect(content.data).toEqual({ product: "Tea" });
  expect(settings.rest_days).toBe(3);
  expect(settings.window.days).toEqual([1]);
});

test("before an organization is suspended, and before it goes on, it is said to how many mails that happens", async () => {
  await page.goto("/organizations/1");
  await button("Suspend").click();
  await dialog().getByText(/It holds \d+ mails? that waits? now, and stops \d+ campaigns? under way/).waitFor();
  await dialog().getByLabel("Reason").fill("looked at");
  await button("Suspend", dialog()).click();
  await dialog().waitFor({ state: "detached" });
  await button("Resume").click();
  await dialog().getByText(/\d+ mails? that waits? (goes|go) on/).waitFor();
  await button("Resume", dialog()).click();
  await button("Suspend").waitFor();
});

test("what a limit, a hold rule and a webhook hold back is counted before they are removed", async () => {
  const steps: [string, string, RegExp][] = [["/limits?origin=pack", "Remove limit", /\d+ mails? waits? for it now/], ["/holds", "Remove rule", /\d+ mails? that waits? (goes|go) on/]];
  for (const [address, item, said] of steps) {
    await page.goto(address);
    await button(/^Actions for /).first().click();
    await page.getByRole("menuitem", { name: item }).click();
    await dialog().getByText(said).waitFor();
    await button("Cancel", dialog()).click();
  }
  await page.goto(`/webhooks/${sample.webhook}`);
  await button("Remove webhook").click();
  await dialog().getByText(/\d+ calls? that waits? (is|are) given up/).waitFor();
  await button("Cancel", dialog()).click();
});

test("a file of another encoding is read as what it is", async () => {
  await page.goto("/imports");
  await page.getByText("Another encoding, or one file of a zip").click();
  await page.getByLabel("Encoding").selectOption({ label: "windows-1252" });
  await page.locator("input[type=file]").setInputFiles({ name: "old.csv", mimeType: "text/csv", buffer: Buffer.from("email;city\ngreta@goodmail.test;Köln\n", "latin1") });
  await page.getByRole("row", { name: /city/ }).getByText("Köln").waitFor();
});
