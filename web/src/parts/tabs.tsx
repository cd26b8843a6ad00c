// Several views of one thing; which one is open stands in the address bar.
import { Tabs as Kit } from "radix-ui";
import { type ReactNode, useEffect, useRef } from "react";
import { useFilters } from "./filters";

export interface Tab {
  name: string;
  title: string;
  draw: () => ReactNode;
}

export function Tabs({ tabs, label }: { tabs: Tab[]; label: string }) {
  const { values, set } = useFilters();
  const list = useRef<HTMLDivElement>(null);
  // On a phone the open one may lie beyond the edge.
  useEffect(() => list.current?.querySelector('[data-state="active"]')?.scrollIntoView({ block: "nearest", inline: "nearest" }), [values.view]);
  const open = tabs.find((tab) => tab.name === values.view) ?? tabs[0];
  if (!open) return null;
  // What narrows one view means nothing in the next.
  const nothing = Object.fromEntries(Object.keys(values).map((name) => [name, undefined]));
  return (
    <Kit.Root className="stack" value={open.name} onValueChange={(view) => set({ ...nothing, view: view === tabs[0]?.name ? undefined : view }, true)}>
      <Kit.List ref={list} className="tabs" aria-label={label}>
        {tabs.map((tab) => <Kit.Trigger key={tab.name} value={tab.name}>{tab.title}</Kit.Trigger>)}
      </Kit.List>
      <Kit.Content value={open.name} className="stack">{open.draw()}</Kit.Content>
    </Kit.Root>
  );
}
