// Something on every page: mail with all kinds of ends, contacts, lists, a template, a webhook.
import type { Demo } from "./world";

export interface Sample {
  message: number;
  delivery: number;
  contact: number;
  import: number;
  template: number;
  campaign: number;
  webhook: number;
  warmup: number;
  list: number;
  automation: number;
}

const HTML = '<h1 style="color:#0b6b63">Hello</h1><p>Your order has left. <a href="https://shop.test/track">Track it</a>.</p>';

export async function fill(demo: Demo): Promise<Sample> {
  const { from, accepting_domain, refused_recipient, greylisting_domain } = demo.ready;
  const letters = [`ann@${accepting_domain}`, refused_recipient, `bob@${greylisting_domain}`, "carol@null-mx.test"].map((to, at) => ({ from: `Shop <${from}>`, to: [to], subject: `Order ${at + 1}`, text: "Hello", html: HTML, tag: "order" }));
  await demo.call("POST", "/v1/messages/batch", { messages: letters });
  await demo.call("POST", "/v1/contact-fields", { name: "city", label: "City", kind: "text" });
  await demo.call("POST", "/v1/contact-fields", { name: "passport", label: "Passport", kind: "text", encrypted: true });
  const list = await demo.call<{ id: number }>("POST", "/v1/lists", { name: "News", description: "Once a month", opt_in: "single" });
  const people = ["ann", "bob", "carol", "dave"].map((name) => ({ email: `${name}@${accepting_domain}`, contact: { name: `${name} Example`, tags: ["vip"], fields: { city: "Berlin", passport: "C01X00T47" }, subscribe: [list.id], consent: { source: "sample" } } }));
  const contacts = await Promise.all(people.map((one) => demo.call<{ id: number }>("POST", "/v1/contacts", one)));
  await demo.call("POST", "/v1/segments", { name: "Berliners", expression: 'city = "Berlin"' });
  const template = await demo.call<{ id: number }>("POST", "/v1/templates", { name: "Welcome", kind: "html", subject: "Hello {{ name }}", body: '<h1>Hello {{ name|default("you") }}</h1><p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>' });
  const campaign = await demo.call<{ id: number }>("POST", "/v1/campaigns", { name: "November", from: `news@${from.split("@")[1]}`, variants: [{ template: template.id }], settings: { audience: { lists: [list.id] } } });
  await demo.call("POST", `/v1/campaigns/${campaign.id}/step`, { step: "launch" });
  const webhook = await demo.call<{ webhook: { id: number } }>("POST", "/v1/webhooks", { name: "Shop", url: "https://shop.test/hook", kinds: ["delivered", "failed"] });
  const warmups = await demo.asAdmin<{ items: { id: number }[] }>("POST", "/v1/warmups", { source: "news-1", operators: ["google", "yahoo"], target: 50_000 });
  const automation = await demo.call<{ id: number }>("POST", "/v1/automations", { name: "Welcome", entry: { kind: "subscription", list: list.id }, steps: [{ kind: "wait", seconds: 86_400 }, { kind: "condition", expression: "opened within last 7 days" }, { kind: "send", from: `news@${from.split("@")[1]}`, mail: { template: template.id } }] });
  const file = await upload(demo, "email;first name;city\nerin@goodmail.test;Erin;Köln\nfrank@goodmail.test;Frank;Bonn\n");
  await demo.call("POST", "/v1/suppressions", { entries: [{ address: `gone@${accepting_domain}` }], scope: "organization", note: "asked by phone" });
  await demo.call("POST", "/v1/hold-rules", { tag: "suspicious", recipient_domain: accepting_domain, reason: "to be looked at" });
  await demo.call("POST", "/v1/traces", { recipient: `bob@${greylisting_domain}`, hours: 24 });
  await put(demo, "logo.png", Uint8Array.from(atob(PIXEL), (letter) => letter.charCodeAt(0)));
  await put(demo, "prices.csv", new TextEncoder().encode("tea;3\n"));
  await demo.call("PUT", "/v1/public-theme", { color: "#0a5f4a", footer: "Shop, Street 1, 10115 Berlin" });
  const failed = await until(async () => {
    const page = await demo.call<{ items: { delivery: number; message: number }[] }>("GET", "/v1/messages?state=failed");
    return page.items[0];
  });
  return { message: failed.message, delivery: failed.delivery, contact: contacts[0]?.id ?? 0, import: file.id, template: template.id, campaign: campaign.id, webhook: webhook.webhook.id, warmup: warmups.items[0]?.id ?? 0, list: list.id, automation: automation.id };
}

async function upload(demo: Demo, text: string): Promise<{ id: number }> {
  const headers = { authorization: `Bearer ${demo.ready.api_key}`, "content-type": "text/csv" };
  const answer = await fetch(`${demo.ready.http}/v1/imports?file_name=people.csv`, { method: "POST", headers, body: text });
  return (await answer.json()) as { id: number };
}

/** A square of one colour. */
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIApD5fRAAAAABJRU5ErkJggg==";

async function put(demo: Demo, name: string, octets: Uint8Array<ArrayBuffer>): Promise<void> {
  const headers = { authorization: `Bearer ${demo.ready.api_key}`, "content-type": "application/octet-stream" };
  const answer = await fetch(`${demo.ready.http}/v1/media?name=${name}`, { method: "POST", headers, body: octets });
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${await answer.text()}`);
}

export async function until<T>(ask: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 40_000;
  for (;;) {
    const found = await ask();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error("it did not happen in time");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The address of a page of the router's list, with what it is about filled in. */
export function addressOf(path: string, sample: Sample): string {
  const ids: Record<string, number | string> = { messages: sample.message, deliveries: sample.delivery, contacts: sample.contact, imports: sample.import, templates: sample.template, webhooks: sample.webhook, domains: "shop.test", campaigns: sample.campaign, warmups: sample.warmup, lists: sample.list, organizations: 1, automations: sample.automation };
  if (path === "/campaigns/compare") return `${path}?ids=${sample.campaign}`;
  const kind = path.split("/")[1] ?? "";
  return path.replace(/\$(id|name)/, String(ids[kind] ?? ""));
}

/** Views of pages that are not the first that one sees there. */
export const VIEWS = [
  "/lists?view=fields", "/organizations/$id?view=public", "/settings?view=hosts", "/inbound?view=routes", "/inbound?view=calls", "/deliverability?view=rates", "/deliverability?view=forecast", "/deliverability?view=decisions",
  "/campaigns/new", "/campaigns/$id?view=look", "/automations/$id?view=edit", "/automations/$id?view=people", "/domains?view=returns", "/sources?view=pools", "/queue?view=deliveries", "/users?view=everybody",
];
