// What a new user does in the first hour: with a pointer, by keyboard alone, and on a phone.
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Hand, handOf } from "./hands";
import { submit } from "./smtp";
import { browse, complaints, contextOf, Demo, PATIENCE_MS } from "./world";

const WAYS = [
  { way: "with a pointer", kind: "pointer", viewport: { width: 1280, height: 900 } },
  { way: "by keyboard alone", kind: "keyboard", viewport: { width: 1280, height: 900 } },
  { way: "on a phone", kind: "pointer", viewport: { width: 390, height: 844 } },
] as const;

const PEOPLE = "email,name,city\nann@goodmail.test,Ann,Berlin\nbob@goodmail.test,Bob,Bonn\ngone@goodmail.test,Gone,Ulm\n";

let browser: Browser;

beforeAll(async () => {
  browser = await browse();
});

afterAll(async () => {
  await browser?.close();
});

describe.each(WAYS)("the first hour $way", ({ kind, viewport }) => {
  let demo: Demo;
  let context: BrowserContext;
  let page: Page;
  let hand: Hand;
  let said: string[];
  let credential: { user: string; password: string };

  const button = (name: string | RegExp, within: Page | Locator = page) => within.getByRole("button", { name, exact: typeof name === "string" });
  const field = (name: string | RegExp, within: Page | Locator = page) => within.getByLabel(name);
  const dialog = () => page.getByRole("dialog");

  beforeAll(async () => {
    demo = await Demo.start("--first-run");
    context = await contextOf(browser, demo, { viewport, hasTouch: viewport.width < 500 });
    page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    said = complaints(page);
    hand = handOf(kind, page);
  });

  afterAll(async () => {
    expect(said).toEqual([]);
    await context?.close();
    await demo?.stop();
  });

  test("the first administrator is made in the browser, and a checklist waits inside", async () => {
    await page.goto("/");
    await page.getByRole("heading", { name: "Welcome" }).waitFor();
    await hand.type(field("Organization"), "Shop");
    await hand.type(field(/^Your name/), "Ann");
    await hand.type(field("E-mail address"), "ann@shop.test");
    await hand.type(field("Password"), "a long password");
    await hand.press(button("Begin"));
    await page.getByRole("heading", { level: 1, name: "Home" }).waitFor();
    await page.getByRole("heading", { name: "First steps" }).waitFor();
    await page.getByText("0 of 5 done").waitFor();
  });

  test("a domain is added, its records are checked, and it is green", async () => {
    await hand.go("Domains");
    await hand.press(button("Add domain").first());
    await hand.type(field("Domain", dialog()), "shop.test");
    await hand.press(button("Add domain", dialog()));
    await page.getByRole("heading", { level: 1, name: "shop.test" }).waitFor();
    const green = page.getByText("All records are right.");
    for (let round = 0; round < 10 && !(await green.isVisible()); round += 1) {
      await page.waitForTimeout(500);
      await hand.press(button("Check again"));
      await page.waitForTimeout(500);
    }
    await green.waitFor();
  });

  test("a credential is made; its secret is shown once", async () => {
    await hand.go("Credentials");
    await hand.press(button("Make credential").first());
    await hand.type(field("Name", dialog()), "shop");
    await hand.press(button("Make credential", dialog()));
    await dialog().getByText("This is shown only now.").waitFor();
    const shown = await dialog().locator("code").allTextContents();
    credential = { user: shown[0] ?? "", password: shown[1] ?? "" };
    await hand.press(button("Done", dialog()));
    await page.getByRole("cell", { name: "shop", exact: true }).waitFor();
  });

  test("a mail that an application submits by SMTP is found, with its story", async () => {
    await submit("ann@goodmail.test", { address: demo.ready.submissions, from: "hello@shop.test", subject: "First mail", ...credential });
    await hand.go("Messages");
    await hand.type(field("Subject"), "First");
    await hand.press(page.getByRole("link", { name: "ann@goodmail.test" }));
    await page.getByRole("heading", { level: 1, name: "First mail" }).waitFor();
    await page.getByRole("list").getByText("delivered").first().waitFor();
    await page.getByText("mx1.goodmail.test").first().waitFor({ state: "attached" });
    await hand.press(page.getByRole("tab", { name: "Source" }));
  });

  test("the checklist is done", async () => {
    await hand.go("Home");
    await page.getByText("Just now").waitFor();
    await page.getByRole("heading", { name: "First steps" }).waitFor({ state: "detached", timeout: 35_000 });
  });

  test("a file of contacts is imported onto a list", async () => {
    await hand.go("Lists");
    await hand.press(button("Add list").first());
    await hand.type(field("Name", dialog()), "News");
    await hand.choose(field("Opt-in", dialog()), "single");
    await hand.press(button("Add list", dialog()));
    await page.getByRole("link", { name: "News" }).waitFor();
    await hand.go("Imports");
    await page.locator("input[type=file]").setInputFiles({ name: "people.csv", mimeType: "text/csv", buffer: Buffer.from(PEOPLE) });
    await page.getByRole("heading", { level: 1, name: "people.csv" }).waitFor();
    await hand.turn(page.getByRole("checkbox", { name: "News" }));
    await hand.type(field("Where these people agreed"), "form on the web site");
    await hand.turn(page.getByRole("checkbox", { name: /I confirm/ }));
    await hand.press(button("Start import"));
    await page.getByText("done", { exact: true }).waitFor();
    await hand.go("Contacts");
    await page.getByText("3 contacts").waitFor();
  });

  test("a segment is put together, and says how many fit while one does", async () => {
    await hand.go("Segments");
    await hand.press(button("Add segment").first());
    await hand.press(button("Add test", dialog()));
    await hand.choose(field("What", dialog()), "city");
    await hand.type(field("Value", dialog()), "Berlin");
    await dialog().getByText("1 contact fits").waitFor();
    await hand.type(field("Name", dialog()), "Berliners");
    await hand.press(button("Save", dialog()));
    await page.getByRole("link", { name: "Berliners" }).waitFor();
  });

  test("a template is written, and its preview is what a contact gets", async () => {
    await hand.go("Templates");
    await hand.press(page.getByRole("link", { name: "New template" }).first());
    await hand.type(field("Name"), "Welcome");
    await hand.type(field("Subject"), "News for {{ name }}");
    await page.frameLocator("iframe").getByText("Hello").waitFor();
    await page.getByText("News for Ann").waitFor();
    await hand.press(button("Save"));
    await page.getByText("revision 1").waitFor();
  });

  test("a campaign is written, checked, launched, and ends with everybody accounted for", async () => {
    await hand.go("Campaigns");
    await hand.press(page.getByRole("link", { name: "New campaign" }).first());
    await hand.type(page.getByRole("textbox", { name: "Name", exact: true }), "November");
    await hand.turn(page.getByRole("group", { name: "To lists" }).getByRole("checkbox", { name: "News" }));
    await hand.press(button("Save"));
    await page.getByRole("heading", { level: 1, name: "November" }).waitFor();
    await page.getByText("3 contacts would get it now.").waitFor();
    await hand.press(button("Launch"));
    await dialog().getByText("It is sent to 3 contacts now.").waitFor();
    await hand.press(button("Launch", dialog()));
    await page.getByText("delivered: 2").waitFor({ timeout: 30_000 });
    await page.getByText("failed: 1").waitFor();
    await page.getByText("sent", { exact: true }).waitFor({ timeout: 30_000 });
  });

  test("the mailbox that does not exist is suppressed from then on", async () => {
    await hand.go("Suppressions");
    await page.getByRole("cell", { name: /gone@goodmail.test/ }).waitFor();
  });
});
