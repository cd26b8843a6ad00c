// A secret, shown once.
import type { ReactNode } from "react";
import { t } from "../lib/text";
import { Copy, Notice, Pairs } from "./basic";

export function Secret({ pairs }: { pairs: [string, string][] }): ReactNode {
  return (
    <div className="stack">
      <Notice tone="warn">{t("secret.once")}</Notice>
      <Pairs of={pairs.map(([name, value]): [string, ReactNode] => [name, <Copy key={name} text={value} label={name} />])} />
    </div>
  );
}
