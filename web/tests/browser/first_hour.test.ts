// What a new user does in the first hour: with a pointer, by keyboard alone, and on a phone.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
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

/** Of mailboxes that are all lost: a host refuses every one of them. */
const BOUGHT = ["email", ...Array.from({ length: 90 }, (_, at) => `gone-${at}@goodmail.test`)].join("\n");
const PEOPLE = "email,name,city\nann@goodmail.test,Ann,Berlin\nbob@goodmail.test,Bob,Bonn\ngone@goodmail.test,Gone,Ulm\n";

/** Where a recipient leaves, out of the mail as a simulated host has taken it. */
function leaveLink(sink: string, recipient: string): string {
  for (const name of readdirSync(sink).filter((name) => name.endsWith(".eml"))) {
    const mail = readFileSync(join(sink, name), "utf8").replace(/=\r?\n/g, "");
    const link = /http:\/\/[\d.:]+\/u\/[\w.~-]+/.exec(mail)?.[0];
    if (link && mail.includes(recipient)) return link;
  }
  throw new Error(`no mail to ${recipient} leads out`);
}

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
    await page.getByText(/[01] of 6 done/).waitFor();
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
    await page.getByText(/→ mx1\.goodmail\.test · TLS/).first().waitFor();
    await hand.press(page.getByRole("tab", { name: "Source" }));
  });

  test("the checklist is done", async () => {
    await hand.go("Home");
    await page.getByText("Just now").waitFor();
    await page.getByRole("heading", { name: "First steps" }).waitFor({ state: "detached", timeout: 60_000 });
  });

  const listed = async (list: string, file: string, lines: string) => {
    await hand.go("Lists");
    await hand.press(button("Add list").first());
    await hand.type(field("Name", dialog()), list);
    await hand.choose(field("Opt-in", dialog()), "single");
    await hand.press(button("Add list", dialog()));
    await page.getByRole("link", { name: list }).waitFor();
    await hand.go("Imports");
    await page.locator("input[type=file]").setInputFiles({ name: file, mimeType: "text/csv", buffer: Buffer.from(lines) });
    await page.getByRole("heading", { level: 1, name: file }).waitFor();
    await hand.turn(page.getByRole("checkbox", { name: list }));
    await hand.type(field("Where these people agreed"), "form on the web site");
    await hand.turn(page.getByRole("checkbox", { name: /I confirm/ }));
    await hand.press(button("Start import"));
    await page.getByText("done", { exact: true }).waitFor();
  };

  test("a file of contacts is imported onto a list", async () => {
    await listed("News", "people.csv", PEOPLE);
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
    await page.getByText("delivered: 2").waitFor({ timeout: 60_000 });
    await page.getByText("failed: 1").waitFor();
    await page.getByText("sent", { exact: true }).waitFor({ timeout: 60_000 });
  });

  test("a slow campaign is paused, goes on, and is cancelled, each after a question that says how many", async () => {
    await hand.go("Campaigns");
    await hand.press(page.getByRole("link", { name: "New campaign" }).first());
    await hand.type(page.getByRole("textbox", { name: "Name", exact: true }), "December");
    await hand.turn(page.getByRole("group", { name: "To lists" }).getByRole("checkbox", { name: "News" }));
    await hand.type(field(/^Mails an hour at most/), "1");
    await hand.press(button("Save"));
    await page.getByRole("heading", { level: 1, name: "December" }).waitFor();
    const ask = async (step: string, says: RegExp, state: string) => {
      await hand.press(button(step));
      await dialog().getByText(says).waitFor();
      await hand.press(button(step, dialog()));
      await page.getByText(state, { exact: true }).first().waitFor();
    };
    await ask("Launch", /It is sent to \d contacts/, "sending");
    await ask("Pause", /wait until you resume/, "paused");
    await ask("Resume", /goe?s? on/, "sending");
    await ask("Cancel for good", /cannot be undone/, "cancelled");
  });

  test("the report of the campaign says who got it, what was refused and why", async () => {
    await hand.go("Campaigns");
    await hand.press(page.getByRole("link", { name: "November" }));
    await hand.press(page.getByRole("link", { name: "Report", exact: true }));
    await page.getByRole("heading", { level: 1, name: "Report: November" }).waitFor();
    await page.getByRole("cell", { name: "mailbox does not exist" }).first().waitFor({ timeout: 60_000 });
    await hand.press(page.getByRole("link", { name: "Recipients", exact: true }));
    await page.getByRole("heading", { level: 1, name: "Recipients: November" }).waitFor();
    await hand.choose(field("State"), "failed");
    await page.getByRole("cell", { name: "gone@goodmail.test" }).waitFor();
    await page.getByRole("cell", { name: "ann@goodmail.test" }).waitFor({ state: "detached" });
  });

  test("a recipient unsubscribes by the link in the mail, and the panel knows", async () => {
    // Somebody else, who has no session here.
    const recipient = await browser.newPage();
    await recipient.goto(leaveLink(demo.ready.sink_dir, "ann@goodmail.test"));
    await recipient.getByRole("button", { name: "Unsubscribe", exact: true }).first().click();
    await recipient.close();
    await hand.go("Contacts");
    await hand.press(page.getByRole("link", { name: "ann@goodmail.test" }));
    await page.getByText("unsubscribed").first().waitFor();
  });

  test("a source is warmed up by a plan whose calendar is shown first", async () => {
    await hand.go("Warm-ups");
    await hand.press(button("Begin a warm-up").first());
    await dialog().getByRole("img", { name: /days to the target/ }).waitFor();
    await hand.type(field(/^Operators/, dialog()), "google");
    await hand.press(button("Begin a warm-up", dialog()));
    await hand.press(page.getByRole("link", { name: /→ google/ }));
    await page.getByRole("img", { name: "Planned against sent" }).waitFor();
    await hand.press(button("Pause"));
    await hand.press(button("Pause", dialog()));
    await page.getByText("paused", { exact: true }).waitFor();
  });

  test("the mailbox that does not exist is suppressed from then on", async () => {
    await hand.go("Suppressions");
    await page.getByRole("cell", { name: /gone@goodmail.test/ }).waitFor();
  });

  test("a campaign to a bought list is paused by a rule, home says so, and a person lets it go on", async () => {
    await listed("Bought", "bought.csv", BOUGHT);
    await hand.go("Campaigns");
    await hand.press(page.getByRole("link", { name: "New campaign" }).first());
    await hand.type(page.getByRole("textbox", { name: "Name", exact: true }), "Cold");
    await hand.turn(page.getByRole("group", { name: "To lists" }).getByRole("checkbox", { name: "Bought" }));
    // What is beyond it is still to come when the rule acts.
    await hand.type(field(/^Mails an hour at most/), "60");
    await hand.press(button("Save"));
    await page.getByRole("heading", { level: 1, name: "Cold" }).waitFor();
    await page.getByRole("heading", { name: "Forecast of a launch now" }).waitFor();
    await hand.press(button("Launch"));
    await hand.press(button("Launch", dialog()));
    await page.getByText(/addresses are lost/).first().waitFor({ timeout: 60_000 });
    await page.getByText("paused", { exact: true }).first().waitFor();
    await hand.go("Home");
    await page.getByText(/Cold: .*addresses are lost/).waitFor();
    await hand.press(page.getByRole("link", { name: "See the campaign" }).first());
    await page.getByRole("heading", { level: 1, name: "Cold" }).waitFor();
    await hand.press(button("Resume"));
    await hand.press(button("Resume", dialog()));
    await page.getByText("sending", { exact: true }).first().waitFor();
    // At the host itself it stands still for a day, unless somebody wants otherwise.
    await hand.press(button("Go on there").first());
    await hand.press(button("Go on there", dialog()));
    await page.getByText(/^Stopped at/).waitFor({ state: "detached" });
    await hand.press(button("Cancel for good"));
    await hand.press(button("Cancel for good", dialog()));
    await page.getByText("cancelled", { exact: true }).first().waitFor();
  }, 240_000);
});
