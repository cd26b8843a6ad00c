import { defineConfig } from "vitest/config";

// Against a daemon that runs, with Debian's Chromium: `npm run browser`, or all of `make test`.
export default defineConfig({
  test: { include: ["tests/browser/**/*.test.ts"], fileParallelism: false, testTimeout: 120_000, hookTimeout: 180_000 },
});
