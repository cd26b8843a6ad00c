// A mail as sections, columns and blocks: every change makes a new document, so that each can be undone.
import type { Schemas } from "../api/client";

export type Doc = Schemas["MailDocument"];
export type Section = Schemas["DocumentSection"];
export type Block = Schemas["DocumentBlock"];
export type Kind = Block["type"];
export type Of<K extends Kind> = Extract<Block, { type: K }>;

/** Section, column, block; within a loop or condition also branch and block, and so on. */
export type Path = readonly number[];

export const KINDS: Kind[] = ["heading", "text", "image", "button", "divider", "spacer", "social", "html", "loop", "condition", "saved"];

/** The lists of blocks that a block holds. */
export function branches(block: Block): Block[][] {
  if (block.type === "loop") return [block.blocks];
  if (block.type === "condition") return [block.blocks, block.otherwise ?? []];
  return [];
}

function withBranch(block: Block, branch: number, blocks: Block[]): Block {
  if (block.type === "loop") return { ...block, blocks };
  if (block.type === "condition") return branch === 0 ? { ...block, blocks } : { ...block, otherwise: blocks };
  return block;
}

function replaced<T>(all: readonly T[], at: number, one: T): T[] {
  return all.map((old, place) => (place === at ? one : old));
}

/** The list in which a block of this path stands. */
export function listAt(doc: Doc, list: Path): Block[] {
  const [section = 0, column = 0, ...rest] = list;
  let blocks = doc.sections[section]?.columns[column]?.blocks ?? [];
  for (let at = 0; at + 1 < rest.length; at += 2) {
    const block = blocks[rest[at] ?? 0];
    blocks = (block && branches(block)[rest[at + 1] ?? 0]) ?? [];
  }
  return blocks;
}

function changedIn(blocks: Block[], rest: Path, change: (blocks: Block[]) => Block[]): Block[] {
  const [at, branch, ...deeper] = rest;
  if (at === undefined || branch === undefined) return change(blocks);
  const block = blocks[at];
  if (!block) return blocks;
  return replaced(blocks, at, withBranch(block, branch, changedIn(branches(block)[branch] ?? [], deeper, change)));
}

function changedList(doc: Doc, list: Path, change: (blocks: Block[]) => Block[]): Doc {
  const [section = 0, column = 0, ...rest] = list;
  const of = doc.sections[section];
  const within = of?.columns[column];
  if (!of || !within) return doc;
  const columns = replaced(of.columns, column, { ...within, blocks: changedIn(within.blocks, rest, change) });
  return { ...doc, sections: replaced(doc.sections, section, { ...of, columns }) };
}

const listOf = (path: Path): Path => path.slice(0, -1);
const placeOf = (path: Path): number => path.at(-1) ?? 0;

export function blockAt(doc: Doc, path: Path): Block | undefined {
  return listAt(doc, listOf(path))[placeOf(path)];
}

export function insert(doc: Doc, path: Path, ...blocks: Block[]): Doc {
  return changedList(doc, listOf(path), (all) => [...all.slice(0, placeOf(path)), ...blocks, ...all.slice(placeOf(path))]);
}

export function remove(doc: Doc, path: Path): Doc {
  return changedList(doc, listOf(path), (all) => all.filter((_, at) => at !== placeOf(path)));
}

export function change(doc: Doc, path: Path, block: Block): Doc {
  return changedList(doc, listOf(path), (all) => replaced(all, placeOf(path), block));
}

export function isWithin(path: Path, outer: Path): boolean {
  return path.length >= outer.length && outer.every((step, at) => path[at] === step);
}

export function same(a: Path | null, b: Path | null): boolean {
  return a !== null && b !== null && a.length === b.length && isWithin(a, b);
}

/** Where a block comes to stand, once it is gone from `from`. */
function afterRemoval(from: Path, to: Path): Path {
  const list = listOf(from);
  const isBehind = isWithin(to, list) && (to[list.length] ?? 0) > placeOf(from);
  return isBehind ? to.map((step, at) => (at === list.length ? step - 1 : step)) : to;
}

/** To the gap before what stands at `to`. The new place comes with it; nothing moves into itself. */
export function move(doc: Doc, from: Path, to: Path): { doc: Doc; path: Path } {
  const block = blockAt(doc, from);
  if (!block || isWithin(to, from)) return { doc, path: from };
  const path = afterRemoval(from, to);
  return { doc: insert(remove(doc, from), path, block), path };
}

/** Every gap that a block may go into, in the order of reading. */
export function gaps(doc: Doc, without?: Path): Path[] {
  const found: Path[] = [];
  const walk = (list: Path, blocks: Block[]) => {
    blocks.forEach((block, at) => {
      const path = [...list, at];
      found.push(path);
      if (!same(path, without ?? null)) branches(block).forEach((inner, branch) => walk([...path, branch], inner));
    });
    found.push([...list, blocks.length]);
  };
  doc.sections.forEach((section, at) => section.columns.forEach((column, place) => walk([at, place], column.blocks)));
  return found;
}

/** One gap further up or down, over the borders of columns and sections. */
export function step(doc: Doc, from: Path, by: 1 | -1): { doc: Doc; path: Path } {
  const behind = [...listOf(from), placeOf(from) + 1];
  const all = gaps(doc, from);
  const here = all.findIndex((gap) => same(gap, from));
  const after = all.findIndex((gap) => same(gap, behind));
  const to = all[by === 1 ? after + 1 : here - 1];
  return to ? move(doc, from, to) : { doc, path: from };
}

export function moveSection(doc: Doc, from: number, to: number): Doc {
  const section = doc.sections[from];
  if (!section) return doc;
  const rest = doc.sections.filter((_, at) => at !== from);
  const place = to > from ? to - 1 : to;
  return { ...doc, sections: [...rest.slice(0, place), section, ...rest.slice(place)] };
}

export function addSection(doc: Doc, at: number, columns: number): Doc {
  const section: Section = { padding: 16, columns: Array.from({ length: columns }, () => ({ blocks: [] })) };
  return { ...doc, sections: [...doc.sections.slice(0, at), section, ...doc.sections.slice(at)] };
}

export function removeSection(doc: Doc, at: number): Doc {
  return { ...doc, sections: doc.sections.filter((_, place) => place !== at) };
}

export function changeSection(doc: Doc, at: number, part: Partial<Section>): Doc {
  const section = doc.sections[at];
  return section ? { ...doc, sections: replaced(doc.sections, at, { ...section, ...part }) } : doc;
}

/** What stood in a column that goes moves to the last that stays. */
export function setColumns(doc: Doc, at: number, count: number): Doc {
  const columns = doc.sections[at]?.columns ?? [];
  const kept = columns.slice(0, count).map(({ blocks }) => ({ blocks }));
  const rest = columns.slice(count).flatMap((column) => column.blocks);
  const last = kept.at(-1);
  if (last) kept[kept.length - 1] = { blocks: [...last.blocks, ...rest] };
  while (kept.length < count) kept.push({ blocks: [] });
  return changeSection(doc, at, { columns: kept });
}

/** Shares of columns as people write them, such as `1:2`. */
export function setShares(doc: Doc, at: number, shares: number[]): Doc {
  const columns = doc.sections[at]?.columns ?? [];
  const all = shares.reduce((sum, share) => sum + share, 0);
  const widths = shares.map((share) => Math.round((share / all) * 100));
  const last = widths.length - 1;
  widths[last] = 100 - widths.slice(0, last).reduce((sum, width) => sum + width, 0);
  const even = new Set(shares).size === 1;
  return changeSection(doc, at, { columns: columns.map((column, place) => (even ? { blocks: column.blocks } : { ...column, width: widths[place] })) });
}

/** Such as `document.sections[0].columns[1].blocks[2].otherwise[0].text`, as the daemon names it. */
export function pathOf(field: string): Path | null {
  const found = [...field.matchAll(/(sections|columns|blocks|otherwise)\[(\d+)\]/g)];
  const path: number[] = [];
  found.forEach(([, name, at], place) => {
    if (place > 2) path.push(name === "otherwise" ? 1 : 0);
    path.push(Number(at));
  });
  return path.length === 0 ? null : path;
}

export interface History {
  past: Doc[];
  now: Doc;
  future: Doc[];
  /** What was changed last; more of the same is one step. */
  tag: string | null;
}

const STEPS_MAX = 200;

export function begin(doc: Doc): History {
  return { past: [], now: doc, future: [], tag: null };
}

export function record(history: History, now: Doc, tag: string | null = null): History {
  if (now === history.now) return history;
  if (tag !== null && tag === history.tag) return { ...history, now, future: [] };
  return { past: [...history.past, history.now].slice(-STEPS_MAX), now, future: [], tag };
}

export function undo(history: History): History {
  const now = history.past.at(-1);
  return now ? { past: history.past.slice(0, -1), now, future: [history.now, ...history.future], tag: null } : history;
}

export function redo(history: History): History {
  const [now, ...future] = history.future;
  return now ? { past: [...history.past, history.now], now, future, tag: null } : history;
}
