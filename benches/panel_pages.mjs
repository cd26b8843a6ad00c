// Opens every page of the panel as a signed-in administrator and says how long each took; started by
// benches/panel with what it is to do.
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const web = join(import.meta.dirname, "../web");
const { chromium } = createRequire(join(web, "package.json"))("playwright-core");
const { http, ids, rounds, pages: only, dist } = JSON.parse(process.argv[2]);
const USER = { email: "bench@panel.test", password: "a long password" };
const PATIENCE_MS = 60_000;

/** Pages about something that the bench has not made are left out. */
function addresses() {
  const text = readFileSync(join(web, "src/pages.ts"), "utf8");
  const paths = [...text.matchAll(/\{ path: "([^"]+)"/g)].map((found) => found[1]);
  return paths.flatMap((path) => {
    if (!path.includes(only)) return [];
    if (path === "/campaigns/compare") return [[path, `${path}?ids=1,2,3`]];
    const id = ids[path.split("/")[1]];
    return path.includes("$") && id === undefined ? [] : [[path, path.replace(/\$(id|name)/, String(id))]];
  });
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const context = await browser.newContext({ baseURL: http, locale: "en", viewport: { width: 1280, height: 900 } });
if (dist) {
  await context.route((url) => !url.pathname.startsWith("/v1"), (route) => {
    const path = join(dist, new URL(route.request().url()).pathname);
    return route.fulfill({ path: existsSync(path) && statSync(path).isFile() ? path : join(dist, "index.html") });
  });
}
const headers = { "sec-fetch-site": "same-origin", origin: http };
const made = await context.request.post("/v1/setup", { data: { ...USER, organization: "Bench", name: "Bench" }, headers });
if (![200, 409].includes(made.status())) throw new Error(`setup: ${made.status()} ${await made.text()}`);
const signed = await context.request.post("/v1/session", { data: USER, headers });
if (!signed.ok()) throw new Error(`sign-in: ${signed.status()} ${await signed.text()}`);

const found = [];
for (const [path, address] of addresses()) {
  const took = [];
  let slowest = { took: 0, of: "" };
  for (let round = 0; round < rounds; round += 1) {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("requestfinished", (request) => {
      const { responseEnd, requestStart } = request.timing();
      const answer = responseEnd - requestStart;
      const of = new URL(request.url());
      if (of.pathname.startsWith("/v1") && answer > slowest.took) slowest = { took: answer, of: of.pathname + of.search };
    });
    const began = performance.now();
    await page.goto(address, { waitUntil: "commit" });
    await page.waitForSelector("main h1, main h2");
    await page.waitForFunction(() => document.querySelector(".bones") === null, undefined, { polling: 10 });
    took.push(performance.now() - began);
    await page.close();
  }
  took.sort((a, b) => a - b);
  found.push({ path, median: took[Math.floor(took.length / 2)], slowest: took.at(-1), answer: slowest.took, of: slowest.of });
  console.error(path, Math.round(took.at(-1)));
}
await browser.close();
console.log(JSON.stringify(found));
