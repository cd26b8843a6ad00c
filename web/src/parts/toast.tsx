// Short words about what was done; read aloud, and gone by themselves unless they tell of a failure.
import { useSyncExternalStore } from "react";
import { t } from "../lib/text";
import { Button } from "./basic";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

const SHOWN_MS = 6_000;
const MOST = 4;

let toasts: Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

function put(next: Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

function drop(id: number): void {
  put(toasts.filter((toast) => toast.id !== id));
}

export function tell(text: string, bad = false): void {
  last += 1;
  const id = last;
  put([...toasts, { id, text, bad }].slice(-MOST));
  if (!bad) setTimeout(() => drop(id), SHOWN_MS);
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map((toast) => (
        <div key={toast.id} className={toast.bad ? "bad" : ""}>
          <span>{toast.text}</span>
          <Button small look="quiet" icon="close" onClick={() => drop(toast.id)} aria-label={t("act.dismiss")} />
        </div>
      ))}
    </div>
  );
}
