// Checks the licence of every package of the lock file. What is shipped is under a licence that
// Postroad can be combined with; tools that only build or test may have a few more.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const shipped = new Set(["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MPL-2.0", "0BSD"]);
const tools = new Set([...shipped, "Unlicense", "CC0-1.0", "BlueOak-1.0.0"]);
// Licences let through for one package, with the reason.
const exceptions = new Map([
  ["isbot", "Unlicense"], // Of the router's half for servers, which is not in the bundle.
  ["argparse", "Python-2.0"], // Reads options for js-yaml, which openapi-typescript brings.
]);

const lock = JSON.parse(readFileSync(join(import.meta.dirname, "..", "package-lock.json"), "utf8"));
const wrong = [];
let count = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  if (path === "") continue;
  count += 1;
  const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  const allowed = entry.dev ? tools : shipped;
  const choices = String(entry.license ?? "none").replace(/[()]/g, "").split(" OR ");
  const good = choices.some((choice) => choice.split(" AND ").every((one) => allowed.has(one)));
  const excepted = exceptions.get(name) === entry.license;
  if (!good && !excepted) wrong.push(`${name} ${entry.version}: licence '${entry.license}' is not allowed`);
  if (entry.resolved) wrong.push(`${name}: the lock file names a registry`);
}
console.log(wrong.join("\n") || `${count} npm packages: every licence is allowed`);
process.exit(wrong.length > 0 ? 1 : 0);
