// What a browser loads as script before the first page is there, packed by gzip: the entry and all
// that it imports at once. Editors and other pages come when they are opened.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT_KIB = 300;
const dist = join(import.meta.dirname, "..", "dist");
const html = readFileSync(join(dist, "index.html"), "utf8");
const open = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map((found) => found[1]);
const loaded = new Map();
while (open.length > 0) {
  const name = open.pop();
  if (loaded.has(name)) continue;
  const text = readFileSync(join(dist, name), "utf8");
  loaded.set(name, gzipSync(text, { level: 9 }).length);
  for (const found of text.matchAll(/(?:from|import)\s*["']\.\/([^"']+\.js)["']/g)) open.push(`assets/${found[1]}`);
}
const kib = [...loaded.values()].reduce((sum, one) => sum + one, 0) / 1024;
const all = readdirSync(join(dist, "assets")).filter((name) => name.endsWith(".js"));
const total = all.reduce((sum, name) => sum + gzipSync(readFileSync(join(dist, "assets", name)), { level: 9 }).length, 0) / 1024;
console.log(`first page: ${kib.toFixed(1)} KiB of script, gzipped, in ${loaded.size} files (limit ${LIMIT_KIB}); all pages and editors: ${total.toFixed(1)} KiB in ${all.length}`);
process.exit(kib > LIMIT_KIB ? 1 : 0);
