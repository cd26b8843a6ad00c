// `make screenshots`: every page at 1440 and 390 px, light and dark, to be looked at.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { PAGES } from "../../src/pages";
import { addressOf, DRAWN, fill, VIEWS } from "./sample";
import { browse, contextOf, Demo, signIn } from "./world";

const folder = process.env.SHOTS;

test.runIf(folder)("every page is drawn into a file", async () => {
  const demo = await Demo.start("--traffic", "40");
  const browser = await browse();
  const sample = await fill(demo);
  for (const width of [1440, 390]) {
    for (const theme of ["light", "dark"] as const) {
      const context = await contextOf(browser, demo, { viewport: { width, height: width === 390 ? 844 : 900 }, colorScheme: theme });
      await signIn(context, demo);
      const page = await context.newPage();
      for (const path of [...PAGES.map((entry) => entry.path), ...VIEWS, ...DRAWN]) {
        await page.goto(addressOf(path, sample));
        await page.waitForSelector("main h1, main h2");
        await page.waitForFunction(() => document.querySelector(".bones") === null);
        const name = path === "/" ? "home" : path.slice(1).replace("?view=", "-").replace(/[/$]+/g, "-");
        mkdirSync(join(folder ?? "", `${width}-${theme}`), { recursive: true });
        await page.screenshot({ path: join(folder ?? "", `${width}-${theme}`, `${name}.png`), fullPage: true });
      }
      await context.close();
    }
  }
  await browser.close();
  await demo.stop();
}, 900_000);
