// What is drawn while something is loaded, when there is nothing, and when it failed.
import type { ReactNode } from "react";
import { refusal } from "../api/client";
import { t } from "../lib/text";
import { Button } from "./basic";

export function Loading({ rows = 5 }: { rows?: number }) {
  return (
    <div className="bones" role="status">
      <span className="unseen">{t("state.loading")}</span>
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint: bones have no name
        <i key={row} aria-hidden="true" />
      ))}
    </div>
  );
}

export function Empty({ title, text, children }: { title: string; text?: string; children?: ReactNode }) {
  return (
    <div className="state">
      <h2>{title}</h2>
      {text && <p>{text}</p>}
      {children && <div className="row">{children}</div>}
    </div>
  );
}

export function explain(error: unknown): string {
  const { problem, message } = refusal(error);
  if (problem.status === 0) return t("state.unreachable");
  if (problem.status === 403) return t("state.forbidden", { detail: problem.detail ?? "" });
  return problem.field ? `${problem.field}: ${message}` : message;
}

export function Failed({ error, again }: { error: unknown; again?: () => void }) {
  return (
    <div className="state" role="alert">
      <h2>{t("state.failed")}</h2>
      <p>{explain(error)}</p>
      {again && (
        <Button icon="refresh" onClick={again}>
          {t("act.again")}
        </Button>
      )}
    </div>
  );
}

interface Asked<T> {
  data: T | undefined;
  error: unknown;
  isPending: boolean;
  refetch: () => unknown;
}

/** Draws what was asked for once it is there. */
export function Shown<T>({ of, rows, children }: { of: Asked<T>; rows?: number; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.isPending) return <Loading rows={rows} />;
  return <Failed error={of.error} again={() => of.refetch()} />;
}
