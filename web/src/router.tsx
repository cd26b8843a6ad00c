// Addresses to pages. Parameters stay texts, so that what stands in the address bar is what was typed.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Outlet } from "@tanstack/react-router";
import { t } from "./lib/text";
import { PAGES } from "./pages";
import { Accept } from "./pages/session/accept";
import { Outside } from "./pages/session/outside";
import { Reset } from "./pages/session/reset";
import { SessionGate } from "./lib/session";
import { Shell } from "./parts/shell";
import { Empty, Failed, Loading } from "./parts/state";

const root = createRootRoute({
  validateSearch: (search: Record<string, unknown>) => Object.fromEntries(Object.entries(search).map(([name, value]) => [name, String(value)])) as Record<string, string>,
  component: Outlet,
  notFoundComponent: () => <Empty title={t("state.no_page")} text={t("state.no_page_text")} />,
});

const inside = createRoute({
  getParentRoute: () => root,
  id: "inside",
  component: () => (
    <SessionGate outside={() => <Outside />}>
      <Shell>
        <Outlet />
      </Shell>
    </SessionGate>
  ),
});

const pages = PAGES.map((page) =>
  createRoute({
    getParentRoute: () => inside,
    path: page.path,
    component: lazyRouteComponent(page.load, "Page"),
  }),
);

const accept = createRoute({ getParentRoute: () => root, path: "/invite", component: Accept });
const reset = createRoute({ getParentRoute: () => root, path: "/reset", component: Reset });

export const router = createRouter({
  routeTree: root.addChildren([inside.addChildren(pages), accept, reset]),
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const text = new URLSearchParams(search as Record<string, string>).toString();
    return text === "" ? "" : `?${text}`;
  },
  defaultPendingComponent: Loading,
  defaultErrorComponent: ({ error, reset }) => <Failed error={error} again={reset} />,
  defaultPendingMs: 150,
});
