// A button that keeps what one sees as CSV.
import { useState } from "react";
import { csv, save } from "../lib/csv";
import { t } from "../lib/text";
import { Button } from "./basic";
import { explain } from "./state";
import { tell } from "./toast";

interface Props {
  /** Names the file. */
  name: string;
  /** What it is of, for who does not see where the button stands. */
  title: string;
  rows: () => string[][] | Promise<string[][]>;
}

export function Sheet({ name, title, rows }: Props) {
  const [busy, setBusy] = useState(false);
  const keep = async () => {
    setBusy(true);
    try {
      save(`${name}.csv`, csv(await rows()));
    } catch (error) {
      tell(explain(error), true);
    } finally {
      setBusy(false);
    }
  };
  return <Button small look="quiet" icon="download" busy={busy} aria-label={t("table.csv_of", { title })} onClick={() => void keep()}>{t("list.csv")}</Button>;
}
