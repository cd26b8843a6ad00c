// Types from the API's document, then the compiler, the unit tests and the licences.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const web = join(import.meta.dirname, "..");
for (const command of [["npm", "run", "--silent", "types"], ["npx", "tsc"], ["npx", "vitest", "run"], ["node", "tools/licences.mjs"]]) {
  const ran = spawnSync(command[0], command.slice(1), { cwd: web, stdio: "inherit" });
  if (ran.status !== 0) process.exit(ran.status ?? 1);
}
