// A document is changed, moved about in and taken back.
import { expect, test } from "vitest";
import { addSection, begin, type Block, blockAt, type Doc, gaps, insert, move, moveSection, pathOf, record, redo, remove, setColumns, setShares, step, undo } from "../../src/lib/document";

const text = (text: string): Block => ({ type: "text", text, align: "left", size: 16 });

/** Two sections: one column with a, b and a condition of c and d; then two columns with e and f. */
function sample(): Doc {
  const condition: Block = { type: "condition", when: "x", blocks: [text("c")], otherwise: [text("d")] };
  return { preview: "", sections: [{ padding: 16, columns: [{ blocks: [text("a"), text("b"), condition] }] }, { padding: 16, columns: [{ blocks: [text("e")] }, { blocks: [text("f")] }] }] } as Doc;
}

function read(blocks: Block[]): string {
  return blocks.map((block) => (block.type === "text" ? block.text : block.type === "condition" ? `(${read(block.blocks)}|${read(block.otherwise ?? [])})` : block.type)).join("");
}

const all = (doc: Doc) => doc.sections.map((section) => section.columns.map((column) => read(column.blocks)).join(",")).join(" ");

test("a block goes to any gap, and its new place is told", () => {
  expect(all(sample())).toBe("ab(c|d) e,f");
  for (const [from, to, becomes, path] of [
    [[0, 0, 0], [0, 0, 2], "ba(c|d) e,f", [0, 0, 1]],
    [[0, 0, 1], [0, 0, 0], "ba(c|d) e,f", [0, 0, 0]],
    [[0, 0, 0], [1, 1, 1], "b(c|d) e,fa", [1, 1, 1]],
    [[0, 0, 0], [0, 0, 2, 1, 0], "b(c|ad) e,f", [0, 0, 1, 1, 0]],
    [[0, 0, 2, 0, 0], [0, 0, 0], "cab(|d) e,f", [0, 0, 0]],
    [[0, 0, 2], [0, 0, 2, 0, 0], "ab(c|d) e,f", [0, 0, 2]],
  ] as [number[], number[], string, number[]][]) {
    const moved = move(sample(), from, to);
    expect([all(moved.doc), moved.path], `${from} to ${to}`).toEqual([becomes, path]);
  }
});

test("the arrow keys lead through every gap, down and up again", () => {
  let now = { doc: sample(), path: [0, 0, 0] as readonly number[] };
  const seen = [all(now.doc)];
  for (let round = 0; round < 20; round += 1) {
    const next = step(now.doc, now.path, 1);
    if (next.doc === now.doc) break;
    now = next;
    seen.push(all(now.doc));
  }
  expect(seen).toEqual(["ab(c|d) e,f", "ba(c|d) e,f", "b(ac|d) e,f", "b(ca|d) e,f", "b(c|ad) e,f", "b(c|da) e,f", "b(c|d)a e,f", "b(c|d) ae,f", "b(c|d) ea,f", "b(c|d) e,af", "b(c|d) e,fa"]);
  const back = [all(now.doc)];
  for (let round = 0; round < 20; round += 1) {
    const next = step(now.doc, now.path, -1);
    if (next.doc === now.doc) break;
    now = next;
    back.push(all(now.doc));
  }
  expect(back).toEqual([...seen].reverse());
});

test("a container is never moved into itself, and what is in it goes along", () => {
  expect(gaps(sample(), [0, 0, 2]).some((gap) => gap.length > 3)).toBe(false);
  const moved = step(sample(), [0, 0, 2], 1);
  expect([all(moved.doc), moved.path]).toEqual(["ab (c|d)e,f", [1, 0, 0]]);
});

test("blocks are put in, taken out and found by the daemon's path", () => {
  expect(all(insert(sample(), [1, 0, 1], text("x"), text("y")))).toBe("ab(c|d) exy,f");
  expect(all(remove(sample(), [0, 0, 2, 1, 0]))).toBe("ab(c|) e,f");
  const path = pathOf("document.sections[0].columns[0].blocks[2].otherwise[0].text");
  expect(path).toEqual([0, 0, 2, 1, 0]);
  expect(blockAt(sample(), path ?? [])).toEqual(text("d"));
  expect(pathOf("subject")).toBeNull();
});

test("sections move, and columns that go leave their blocks behind", () => {
  expect(all(moveSection(sample(), 0, 2))).toBe("e,f ab(c|d)");
  expect(all(moveSection(sample(), 1, 0))).toBe("e,f ab(c|d)");
  expect(all(addSection(sample(), 1, 2))).toBe("ab(c|d) , e,f");
  expect(all(setColumns(sample(), 1, 1))).toBe("ab(c|d) ef");
  expect(all(setColumns(sample(), 1, 4))).toBe("ab(c|d) e,f,,");
  const widths = setShares(setColumns(sample(), 1, 3), 1, [1, 1, 1]).sections[1]?.columns.map((column) => column.width);
  expect(widths).toEqual([undefined, undefined, undefined]);
  expect(setShares(sample(), 1, [1, 2]).sections[1]?.columns.map((column) => column.width)).toEqual([33, 67]);
});

test("what was done is undone and done again; typing is one step", () => {
  const first = sample();
  let history = begin(first);
  const typed = remove(first, [0, 0, 0]);
  history = record(history, insert(first, [0, 0, 0], text("x")), "typing");
  history = record(history, typed, "typing");
  history = record(history, first, null);
  expect(history.past).toHaveLength(2);
  history = undo(history);
  expect(history.now).toBe(typed);
  history = undo(history);
  expect(history.now).toBe(first);
  expect(undo(history)).toBe(history);
  expect(redo(redo(history)).now).toBe(first);
  expect(record(undo(redo(history)), typed).future).toEqual([]);
});
