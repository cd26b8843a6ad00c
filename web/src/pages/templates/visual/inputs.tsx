// The fields of the inspector: short, each with its label.
import { type ReactNode, useId, useRef } from "react";
import { t, word } from "../../../lib/text";
import { Button } from "../../../parts/basic";

interface Plain {
  label: string;
  value: string;
  change: (value: string) => void;
  hint?: ReactNode;
  list?: string[];
}

export function Line({ label, value, change, hint, list }: Plain) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} value={value} list={list ? `${id}l` : undefined} aria-describedby={hint ? `${id}h` : undefined} onChange={(event) => change(event.target.value)} />
      {list && <datalist id={`${id}l`}>{list.map((name) => <option key={name} value={name} />)}</datalist>}
      {hint && <span className="hint" id={`${id}h`}>{hint}</span>}
    </div>
  );
}

export function Count({ label, value, change, min, max }: { label: string; value: number | null | undefined; change: (value: number | undefined) => void; min: number; max: number }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} type="number" min={min} max={max} value={value ?? ""} onChange={(event) => change(event.target.value === "" ? undefined : Number(event.target.value))} />
    </div>
  );
}

const HEX = /^#[0-9a-f]{6}$/i;

/** A colour, or none: then the mail's own. */
export function Colour({ label, value, change, usual }: { label: string; value: string | null | undefined; change: (value: string | undefined) => void; usual?: string }) {
  const id = useId();
  const shown = value ?? usual ?? "#000000";
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <div className="row" style={{ flexWrap: "nowrap" }}>
        <input type="color" aria-label={t("visual.pick", { what: label })} value={HEX.test(shown) ? shown : "#000000"} onChange={(event) => change(event.target.value)} />
        <input id={id} value={value ?? ""} placeholder={usual} onChange={(event) => change(event.target.value === "" && usual !== undefined ? undefined : event.target.value)} />
      </div>
    </div>
  );
}

export function Pick({ label, value, options, change }: { label: string; value: string; options: [string, string][]; change: (value: string) => void }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => change(event.target.value)}>
        {options.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
      </select>
    </div>
  );
}

type Where = "left" | "center" | "right";
const ALIGNS: Where[] = ["left", "center", "right"];

export function Aligned({ value, change }: { value: Where | undefined; change: (value: Where) => void }) {
  return (
    <fieldset className="field">
      <legend className="label">{t("visual.align")}</legend>
      <div className="row">
        {ALIGNS.map((one) => <Button key={one} small aria-pressed={value === one} look={value === one ? undefined : "quiet"} onClick={() => change(one)}>{word("align", one)}</Button>)}
      </div>
    </fieldset>
  );
}

/** Text with the fields of contacts, and for Markdown what a person would look for. */
export function Words({ label, value, change, names, markdown, rows = 3 }: { label: string; value: string; change: (value: string) => void; names: string[]; markdown?: boolean; rows?: number }) {
  const id = useId();
  const area = useRef<HTMLTextAreaElement>(null);
  /** Around what is chosen, or where the caret is. */
  const put = (before: string, after = "") => {
    const field = area.current;
    if (!field) return;
    const { selectionStart: from, selectionEnd: to } = field;
    const chosen = value.slice(from, to);
    change(value.slice(0, from) + before + chosen + after + value.slice(to));
    requestAnimationFrame(() => {
      field.focus();
      const caret = from + before.length + chosen.length + (chosen === "" ? 0 : after.length);
      field.setSelectionRange(caret, caret);
    });
  };
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <div className="row word-tools">
        {markdown && <Button small look="quiet" onClick={() => put("**", "**")} aria-label={t("visual.bold")}><strong>{t("visual.bold_short")}</strong></Button>}
        {markdown && <Button small look="quiet" onClick={() => put("*", "*")} aria-label={t("visual.italic")}><em>{t("visual.italic_short")}</em></Button>}
        {markdown && <Button small look="quiet" onClick={() => put("[", "](https://)")}>{t("visual.link")}</Button>}
        {markdown && <Button small look="quiet" onClick={() => put("\n- ")}>{t("visual.item")}</Button>}
        <select aria-label={t("visual.insert_field")} value="" onChange={(event) => event.target.value && put(`{{ ${event.target.value} }}`)}>
          <option value="">{t("visual.insert_field")}</option>
          {names.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </div>
      <textarea id={id} ref={area} rows={rows} value={value} onChange={(event) => change(event.target.value)} />
    </div>
  );
}
