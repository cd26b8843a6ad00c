import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` asks a daemon that runs beside it, so that its cookie is of the same origin.
const daemon = process.env.POSTROAD_URL ?? "http://127.0.0.1:8025";

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2023",
    // The policy of the panel knows no `data:` script, and small files are packed anyway.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // `tools/build.mjs` empties it and leaves what git keeps.
    emptyOutDir: false,
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { "/v1": { target: daemon, changeOrigin: false } } },
  test: { include: ["tests/unit/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
