// A button with a menu beneath it.
import { DropdownMenu as Kit } from "radix-ui";
import type { ReactNode } from "react";

export interface Item {
  text: string;
  act: () => void;
  danger?: boolean;
}

export function Menu({ trigger, children }: { trigger: ReactNode; children: ReactNode }) {
  return (
    <Kit.Root modal={false}>
      <Kit.Trigger asChild>{trigger}</Kit.Trigger>
      <Kit.Portal>
        <Kit.Content className="menu" align="end" sideOffset={6} collisionPadding={8}>
          {children}
        </Kit.Content>
      </Kit.Portal>
    </Kit.Root>
  );
}

export function Items({ items }: { items: Item[] }) {
  return items.map((item) => (
    <Kit.Item key={item.text} className={item.danger ? "danger" : ""} onSelect={item.act}>
      {item.text}
    </Kit.Item>
  ));
}

export function Choice({ label, value, options, choose }: { label: string; value: string; options: [string, string][]; choose: (value: string) => void }) {
  return (
    <>
      <Kit.Label className="label">{label}</Kit.Label>
      <Kit.RadioGroup value={value} onValueChange={choose}>
        {options.map(([name, text]) => (
          <Kit.RadioItem key={name} value={name}>
            <span aria-hidden="true" style={{ width: "1em" }}>{value === name ? "✓" : ""}</span>
            {text}
          </Kit.RadioItem>
        ))}
      </Kit.RadioGroup>
    </>
  );
}
