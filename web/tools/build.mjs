// Builds the panel into dist/: the bundle, each file packed by gzip and brotli, and the list of
// what it was made of. With --if-stale nothing happens when that list still holds.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const web = join(import.meta.dirname, "..");
const dist = join(web, "dist");
// As build.rs has it.
const inputs = ["src", "public", "index.html", "package-lock.json", "vite.config.ts", "tools/build.mjs"];
// Made of openapi.json, and of no use to the bundle, which has no types.
const generated = "src/api/schema.d.ts";

function* files(path) {
  if (!existsSync(path)) return;
  if (!statSync(path).isDirectory()) return yield path;
  for (const name of readdirSync(path).sort()) yield* files(join(path, name));
}

function sources() {
  const all = inputs.flatMap((input) => [...files(join(web, input))]);
  const named = all.map((path) => [relative(web, path), path]).filter(([name]) => name !== generated);
  const hash = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");
  return `${JSON.stringify(Object.fromEntries(named.map(([name, path]) => [name, hash(path)])), null, 1)}\n`;
}

function pack() {
  for (const path of [...files(dist)]) {
    if (!/\.(js|css|svg|html|json)$/.test(path) || path.endsWith("index.html")) continue;
    const plain = readFileSync(path);
    if (plain.length < 1024) continue;
    const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
    writeFileSync(`${path}.br`, brotliCompressSync(plain, { params }));
    writeFileSync(`${path}.gz`, gzipSync(plain, { level: 9 }));
  }
}

const made = sources();
const list = join(dist, "sources.json");
if (process.argv.includes("--if-stale") && existsSync(list) && readFileSync(list, "utf8") === made) {
  // A checkout may have touched what has not changed; build.rs goes by times.
  const now = new Date();
  utimesSync(join(dist, "index.html"), now, now);
} else {
  for (const path of [...files(dist)]) if (!path.endsWith(".gitignore")) rmSync(path);
  const { build } = await import("vite");
  await build({ root: web, logLevel: "warn", build: { outDir: dist } });
  pack();
  writeFileSync(list, made);
}
