// Forms from a list of fields. What the API refuses stands at the field that it names.
import { type FormEvent, type ReactNode, useId, useState } from "react";
import { refusal } from "../api/client";
import { t } from "../lib/text";
import { Button } from "./basic";
import { explain } from "./state";

export interface Field {
  name: string;
  label: string;
  kind?: "text" | "email" | "password" | "number" | "select" | "check" | "checks" | "area" | "code" | "moment" | "date" | "color" | "lines";
  hint?: ReactNode;
  options?: [string, string][];
  required?: boolean;
  value?: string | boolean | string[];
  placeholder?: string;
  complete?: string;
  /** Of a number. */
  min?: number;
  max?: number;
  /** Of a long text: it is usually empty, or of few lines. */
  short?: boolean;
  /** Of a number: `any` where it need not be whole. */
  step?: "any";
  shown?: (values: Values) => boolean;
}

export type Values = Record<string, string | boolean | string[]>;

/** A field's text without the spaces around it; undefined when it is empty. */
export function given(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
}

export function lines(values: Values, name: string): string[] {
  return (given(values, name) ?? "").split(/\s*\n\s*/).filter((line) => line !== "");
}

export function many(values: Values, name: string): string[] {
  const value = values[name];
  return Array.isArray(value) ? value : [];
}

function beginning(fields: Field[]): Values {
  const empty = (field: Field) => (field.kind === "check" ? false : field.kind === "checks" ? [] : field.kind === "select" ? (field.options?.[0]?.[0] ?? "") : "");
  return Object.fromEntries(fields.map((field) => [field.name, field.value ?? empty(field)]));
}

interface FormProps {
  fields: Field[];
  button: string;
  submit: (values: Values) => Promise<unknown>;
  cancel?: () => void;
  danger?: boolean;
  children?: ReactNode | ((values: Values) => ReactNode);
}

export function Form({ fields, button, submit, cancel, danger, children }: FormProps) {
  const [values, setValues] = useState<Values>(() => beginning(fields));
  const [wrong, setWrong] = useState<{ field?: string; text: string } | null>(null);
  const [busy, setBusy] = useState(false);
  const id = useId();
  const shown = fields.filter((field) => field.shown?.(values) ?? true);
  const send = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setWrong(null);
    try {
      await submit(values);
    } catch (error) {
      const { problem, message } = refusal(error);
      const named = shown.find((field) => problem.field === field.name) ?? shown.find((field) => problem.field?.split(/[.[]/)[0] === field.name);
      setWrong(named ? { field: named.name, text: message } : { text: explain(error) });
      if (named) document.getElementById(`${id}-${named.name}`)?.focus();
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="form" onSubmit={send} noValidate={false}>
      {shown.map((field) => (
        <FieldRow key={field.name} field={field} id={`${id}-${field.name}`} value={values[field.name] ?? ""} wrong={wrong?.field === field.name ? wrong.text : undefined} set={(value) => setValues((before) => ({ ...before, [field.name]: value }))} />
      ))}
      {typeof children === "function" ? children(values) : children}
      {wrong && !wrong.field && <p className="field"><span className="wrong" role="alert">{wrong.text}</span></p>}
      <div className="row">
        <Button type="submit" look={danger ? "danger" : "main"} busy={busy}>{button}</Button>
        {cancel && <Button onClick={cancel}>{t("act.cancel")}</Button>}
      </div>
    </form>
  );
}

interface RowProps {
  field: Field;
  id: string;
  value: string | boolean | string[];
  wrong?: string;
  set: (value: string | boolean | string[]) => void;
}

function FieldRow({ field, id, value, wrong, set }: RowProps) {
  const hint = field.hint ? `${id}-hint` : undefined;
  const error = wrong ? `${id}-wrong` : undefined;
  const described = [hint, error].filter(Boolean).join(" ") || undefined;
  const below = (
    <>
      {field.hint && <span className="hint" id={hint}>{field.hint}</span>}
      {wrong && <span className="wrong" id={error} role="alert">{wrong}</span>}
    </>
  );
  if (field.kind === "check") {
    return (
      <div className="field">
        <label className="check" htmlFor={id}>
          <input id={id} type="checkbox" checked={value === true} onChange={(event) => set(event.target.checked)} aria-describedby={described} />
          <span>{field.label}</span>
        </label>
        {below}
      </div>
    );
  }
  if (field.kind === "checks") {
    const chosen = Array.isArray(value) ? value : [];
    return (
      <fieldset className="field" aria-describedby={described}>
        <legend className="label">{field.label}</legend>
        <div className="checks">
          {field.options?.map(([name, text]) => (
            <label className="check" key={name}>
              <input type="checkbox" checked={chosen.includes(name)} onChange={(event) => set(event.target.checked ? [...chosen, name] : chosen.filter((one) => one !== name))} />
              <span>{text}</span>
            </label>
          ))}
        </div>
        {below}
      </fieldset>
    );
  }
  return (
    <div className="field">
      <label htmlFor={id}>{field.label}{!field.required && field.kind !== "select" && <span className="faint"> · {t("form.optional")}</span>}</label>
      <Input field={field} id={id} value={String(value)} set={set} described={described} wrong={wrong !== undefined} />
      {below}
    </div>
  );
}

const TYPES: Partial<Record<string, string>> = { email: "email", password: "password", number: "number", moment: "datetime-local", date: "date" };

function Input({ field, id, value, set, described, wrong }: { field: Field; id: string; value: string; set: (value: string) => void; described?: string; wrong: boolean }) {
  const shared = { id, value, required: field.required, placeholder: field.placeholder, "aria-describedby": described, "aria-invalid": wrong || undefined, autoComplete: field.complete ?? "off" };
  if (field.kind === "select") {
    const { placeholder: _, ...rest } = shared;
    return (
      <select {...rest} onChange={(event) => set(event.target.value)}>
        {field.options?.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
      </select>
    );
  }
  if (field.kind === "area" || field.kind === "lines" || field.kind === "code") {
    return <textarea {...shared} className={[field.kind === "code" && "code", (field.short || field.kind === "lines") && "short"].filter(Boolean).join(" ")} spellCheck={field.kind === "area"} onChange={(event) => set(event.target.value)} />;
  }
  if (field.kind === "color") {
    // The picker knows no empty colour; the text beside it does.
    return (
      <div className="row">
        <input type="color" className="pick" aria-label={t("form.pick", { what: field.label })} value={/^#[0-9a-f]{6}$/i.test(value) ? value : "#000000"} onChange={(event) => set(event.target.value)} />
        <input {...shared} style={{ width: "9rem" }} type="text" onChange={(event) => set(event.target.value)} />
      </div>
    );
  }
  const type = TYPES[field.kind ?? "text"] ?? "text";
  return <input {...shared} type={type} min={field.min} max={field.max} step={field.step} onChange={(event) => set(event.target.value)} />;
}
