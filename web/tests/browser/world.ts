// A daemon in the simulated internet, a browser before it, and somebody who is signed in.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const BINARY = process.env.POSTROAD_BIN ?? join(import.meta.dirname, "../../../target/debug/postroad");
const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
const START_MS = 60_000;
/** How long a browser waits for what is to appear. */
export const PATIENCE_MS = 30_000;

export interface Ready {
  http: string;
  submissions: string;
  smtp_user: string;
  smtp_password: string;
  api_key: string;
  admin_email: string;
  admin_password: string;
  from: string;
  accepting_domain: string;
  refused_recipient: string;
  greylisting_domain: string;
  sink_dir: string;
}

export class Demo {
  private cookie?: string;

  private constructor(
    readonly ready: Ready,
    private readonly child: ChildProcess,
    private readonly directory: string,
  ) {}

  static async start(...more: string[]): Promise<Demo> {
    const directory = mkdtempSync(join(tmpdir(), "postroad-panel-"));
    const file = join(directory, "ready.json");
    const child = spawn(BINARY, ["demo", "--ready-file", file, "--data-dir", join(directory, "data"), ...more], { stdio: "ignore" });
    const end = Date.now() + START_MS;
    while (!existsSync(file)) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`${BINARY} demo does not come up`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return new Demo(JSON.parse(readFileSync(file, "utf8")), child, directory);
  }

  /** A call of the API with the demo's key. */
  async call<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    const headers = { authorization: `Bearer ${this.ready.api_key}`, ...(body === undefined ? {} : { "content-type": "application/json" }) };
    const answer = await fetch(`${this.ready.http}${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  /** A call as the administrator, whose browser asks from one of our own pages. */
  async asAdmin<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    const { http, admin_email: email, admin_password: password } = this.ready;
    const headers: Record<string, string> = { origin: http, "content-type": "application/json" };
    if (this.cookie === undefined) {
      const answer = await fetch(`${http}/v1/session`, { method: "POST", headers, body: JSON.stringify({ email, password }) });
      this.cookie = answer.headers.get("set-cookie")?.split(";")[0] ?? "";
    }
    const answer = await fetch(`${http}${path}`, { method, headers: { ...headers, cookie: this.cookie }, body: body === undefined ? undefined : JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGTERM");
    await ended;
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function browse(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-prefers-reduced-motion"] });
}

/** A context before the demo. With PANEL_DIST the panel comes from that folder instead of out of the
 * binary, so that a change of the panel needs no new binary. */
export async function contextOf(browser: Browser, demo: Demo, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const context = await browser.newContext({ baseURL: demo.ready.http, locale: "en", ...options });
  const dist = process.env.PANEL_DIST;
  if (dist) {
    await context.route((url) => !/^\/(v1|m)\//.test(url.pathname), (route) => {
      const path = join(dist, new URL(route.request().url()).pathname);
      return route.fulfill({ path: existsSync(path) && statSync(path).isFile() ? path : join(dist, "index.html") });
    });
  }
  return context;
}

/** Whatever the browser complains about; a panel that is well says nothing. */
export function complaints(page: Page): string[] {
  const said: string[] = [];
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("console", (message) => {
    // What the API refuses the browser calls an error; the panel shows it where it belongs.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) said.push(message.text());
  });
  return said;
}

export async function signIn(context: BrowserContext, demo: Demo): Promise<void> {
  const { http, admin_email: email, admin_password: password } = demo.ready;
  const answer = await context.request.post(`${http}/v1/session`, { data: { email, password }, headers: { "sec-fetch-site": "same-origin" } });
  if (!answer.ok()) throw new Error(`sign-in: ${answer.status()}`);
}
