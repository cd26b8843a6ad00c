// Dragging with a pointer, finger or pen: what is dragged, and the gap that is nearest to it.
import { type PointerEvent as ReactPointerEvent, useEffect, useRef, useState } from "react";
import type { Kind, Path } from "../../../lib/document";

export type Load = { what: "new"; kind: Kind } | { what: "block"; path: Path } | { what: "section"; at: number };

export interface Drag {
  load: Load;
  label: string;
  x: number;
  y: number;
  /** The gap that it would go into, as its element names it. */
  over: string | null;
}

const BEGIN_PX = 5;
const EDGE_PX = 70;
const SCROLL_PX = 14;
const REACH_PX = 220;

export const gapName = (path: Path): string => path.join(".");
export const pathOfGap = (name: string): Path => name.split(".").map(Number);

/** The gap nearest to the pointer, among those of the right kind. */
function nearest(canvas: HTMLElement, load: Load, x: number, y: number): string | null {
  const kind = load.what === "section" ? "section" : "block";
  let best: string | null = null;
  let least = REACH_PX;
  for (const gap of canvas.querySelectorAll<HTMLElement>(`[data-gap="${kind}"]`)) {
    const box = gap.getBoundingClientRect();
    const across = Math.max(box.left - x, 0, x - box.right);
    const along = Math.max(box.top - y, 0, y - box.bottom);
    // A gap beside the pointer belongs to another column.
    const distance = along + across * 3;
    if (distance < least) [best, least] = [gap.dataset.at ?? null, distance];
  }
  return best;
}

export function useDrag(drop: (load: Load, gap: string) => void) {
  const canvas = useRef<HTMLDivElement>(null);
  const [drag, setDrag] = useState<Drag | null>(null);
  const latest = useRef(drop);
  latest.current = drop;
  const begun = useRef<{ load: Load; label: string; x: number; y: number } | null>(null);
  const current = useRef<Drag | null>(null);
  useEffect(() => {
    const put = (next: Drag | null) => {
      current.current = next;
      setDrag(next);
    };
    const move = (event: PointerEvent) => {
      const start = begun.current;
      if (!start) return;
      const far = Math.hypot(event.clientX - start.x, event.clientY - start.y);
      if (!current.current && far < BEGIN_PX) return;
      event.preventDefault();
      if (event.clientY < EDGE_PX) window.scrollBy(0, -SCROLL_PX);
      if (event.clientY > window.innerHeight - EDGE_PX) window.scrollBy(0, SCROLL_PX);
      const over = canvas.current ? nearest(canvas.current, start.load, event.clientX, event.clientY) : null;
      put({ load: start.load, label: start.label, x: event.clientX, y: event.clientY, over });
    };
    const end = () => {
      const done = current.current;
      begun.current = null;
      put(null);
      if (!done) return;
      if (done.over !== null) latest.current(done.load, done.over);
      // The click that follows is part of the dragging.
      const swallow = (event: MouseEvent) => event.stopPropagation();
      window.addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => window.removeEventListener("click", swallow, { capture: true }), 0);
    };
    const stop = (event: KeyboardEvent | PointerEvent) => {
      if (event instanceof KeyboardEvent && event.key !== "Escape") return;
      begun.current = null;
      put(null);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", stop);
    window.addEventListener("keydown", stop);
    return () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", stop);
      window.removeEventListener("keydown", stop);
    };
  }, []);
  const lift = (load: Load, label: string) => (event: ReactPointerEvent) => {
    // A finger on the list of blocks scrolls or taps.
    if (event.button !== 0 || (event.pointerType === "touch" && load.what === "new")) return;
    begun.current = { load, label, x: event.clientX, y: event.clientY };
  };
  return { drag, lift, canvas };
}
