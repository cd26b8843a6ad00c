// The small parts that every page is made of.
import type { ComponentProps, ReactNode } from "react";
import { useState } from "react";
import { t } from "../lib/text";
import { ago, type Micros, moment } from "../lib/time";
import { Icon, type IconName } from "./icon";

type ButtonProps = ComponentProps<"button"> & { look?: "main" | "danger" | "quiet"; small?: boolean; icon?: IconName; busy?: boolean };

const LOOKS = { main: "main-one", danger: "danger", quiet: "quiet" };

export function look(kind?: keyof typeof LOOKS, small?: boolean): string {
  return ["button", kind && LOOKS[kind], small && "small"].filter(Boolean).join(" ");
}

export function Button({ look: kind, small, icon, busy, children, className, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} disabled={rest.disabled || busy} aria-busy={busy || undefined} className={`${look(kind, small)} ${className ?? ""}`}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

export type Tone = "good" | "warn" | "bad" | "info" | "plain";

export function Badge({ tone = "plain", children }: { tone?: Tone; children: ReactNode }) {
  return <span className={`badge ${tone}`}>{children}</span>;
}

export function Notice({ tone = "info", children, action }: { tone?: Tone; children: ReactNode; action?: ReactNode }) {
  return (
    <div className={`notice ${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <div className="stack tight">{typeof children === "string" ? <p>{children}</p> : children}</div>
      {action && <div className="row">{action}</div>}
    </div>
  );
}

export function PageHead({ title, text, children }: { title: ReactNode; text?: ReactNode; children?: ReactNode }) {
  return (
    <header className="head">
      <div>
        <h1>{title}</h1>
        {text && <p>{text}</p>}
      </div>
      {children && <div className="row">{children}</div>}
    </header>
  );
}

export function Card({ title, actions, children, bare }: { title?: ReactNode; actions?: ReactNode; children: ReactNode; bare?: boolean }) {
  return (
    <section className="card">
      {(title || actions) && (
        <header>
          <h2>{title}</h2>
          {actions && <div className="row">{actions}</div>}
        </header>
      )}
      {bare ? children : <div className="body">{children}</div>}
    </section>
  );
}

export function Pairs({ of }: { of: [ReactNode, ReactNode][] }) {
  const shown = of.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return (
    <dl className="pairs">
      {shown.map(([name, value], at) => (
        // biome-ignore lint: the order of the pairs is fixed
        <div key={at} style={{ display: "contents" }}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function When({ at, absent }: { at: Micros | null | undefined; absent?: string }) {
  if (at === null || at === undefined) return <span className="faint">{absent ?? "–"}</span>;
  return (
    <time dateTime={new Date(at / 1000).toISOString()} title={moment(at)} className="nowrap">
      {ago(at)}
    </time>
  );
}

/** A text with a button that copies it. */
export function Copy({ text, label }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
  };
  return (
    <div className="copy">
      <code>{text}</code>
      <Button small look="quiet" icon={copied ? "check" : "copy"} onClick={copy} aria-label={t("act.copy_what", { what: label ?? text })} title={t("act.copy")} />
    </div>
  );
}
