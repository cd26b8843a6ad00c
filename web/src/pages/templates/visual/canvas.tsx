// The mail while it is put together: sections, columns, blocks and the gaps between them.
import type { KeyboardEvent, ReactNode, PointerEvent as ReactPointerEvent } from "react";
import { type Block, blockAt, branches, type Doc, type Path, same } from "../../../lib/document";
import { t } from "../../../lib/text";
import { Button } from "../../../parts/basic";
import { Icon } from "../../../parts/icon";
import { fontOf, Leaf, STYLE, type Style, sayBlock } from "./draw";
import { type Drag, gapName, type Load } from "./drag";

export type Selected = { what: "block"; path: Path } | { what: "section"; at: number } | { what: "mail" };

export interface Hands {
  select: (selected: Selected) => void;
  /** Enter: to the settings of what is selected. */
  open: () => void;
  lift: (load: Load, label: string) => (event: ReactPointerEvent) => void;
  keys: (selected: Selected) => (event: KeyboardEvent) => void;
  add: (path: Path) => void;
}

interface Shared {
  doc: Doc;
  selected: Selected;
  /** Picked up by keyboard. */
  lifted: boolean;
  wrong: Path | null;
  drag: Drag | null;
  hands: Hands;
  savedName: (id: number) => string;
}

export function Canvas({ shared, canvas }: { shared: Shared; canvas: React.RefObject<HTMLDivElement | null> }) {
  const { doc } = shared;
  const style: Style = { ...STYLE, ...doc.style };
  return (
    <div className={shared.drag ? "canvas dragging" : "canvas"} ref={canvas} style={{ background: style.background, color: style.color, fontFamily: fontOf(style) }}>
      <div className="sheet" style={{ maxWidth: style.width }}>
        {doc.sections.map((section, at) => (
          // biome-ignore lint: a section is known by its place
          <div key={at}>
            <Gap kind="section" name={String(at)} drag={shared.drag} />
            <SectionDrawn shared={shared} at={at} style={style}>
              {section.columns.map((column, place) => (
                // biome-ignore lint: a column is known by its place
                <div key={place} className="column" style={{ flex: `${column.width ?? 100 / section.columns.length} 1 0` }}>
                  <Blocks shared={shared} style={style} list={[at, place]} blocks={column.blocks} />
                </div>
              ))}
            </SectionDrawn>
          </div>
        ))}
        <Gap kind="section" name={String(doc.sections.length)} drag={shared.drag} />
      </div>
    </div>
  );
}

function Gap({ kind, name, drag }: { kind: "block" | "section"; name: string; drag: Drag | null }) {
  const fits = drag !== null && (drag.load.what === "section") === (kind === "section");
  return <div className={["gap-line", fits && "fits", fits && drag.over === name && "over"].filter(Boolean).join(" ")} data-gap={kind} data-at={name} />;
}

function Handle({ label, pressed, lifted, onKeyDown, onClick, onPointerDown, id }: { label: string; pressed: boolean; lifted: boolean; onKeyDown: (event: KeyboardEvent) => void; onClick: () => void; onPointerDown: (event: ReactPointerEvent) => void; id: string }) {
  return (
    <button type="button" className={lifted ? "handle lifted" : "handle"} data-handle={id} aria-label={label} aria-pressed={pressed} aria-describedby="visual-keys" onKeyDown={onKeyDown} onClick={onClick} onPointerDown={onPointerDown}>
      <Icon name="grip" />
    </button>
  );
}

function SectionDrawn({ shared, at, style, children }: { shared: Shared; at: number; style: Style; children: ReactNode }) {
  const section = shared.doc.sections[at];
  const { hands, selected, lifted } = shared;
  const is = selected.what === "section" && selected.at === at;
  const label = t("visual.section_n", { n: at + 1, all: shared.doc.sections.length });
  const me: Selected = { what: "section", at };
  return (
    // biome-ignore lint: the handle does the same for the keyboard
    <section className={is ? "stripe selected" : "stripe"} aria-label={label} style={{ background: section?.background ?? style.surface }} onClick={() => hands.select(me)}>
      <div className="stripe-head">
        <Handle id={`s${at}`} label={label} pressed={is} lifted={is && lifted} onKeyDown={hands.keys(me)} onClick={() => hands.select(me)} onPointerDown={hands.lift({ what: "section", at }, label)} />
        {section?.when && <span className="field-chip">{t("visual.only_if", { when: section.when })}</span>}
      </div>
      <div className="columns" style={{ paddingBlock: section?.padding }}>{children}</div>
    </section>
  );
}

function Blocks({ shared, style, list, blocks }: { shared: Shared; style: Style; list: Path; blocks: Block[] }) {
  return (
    <>
      {blocks.map((block, at) => (
        // biome-ignore lint: a block is known by its place
        <div key={at}>
          <Gap kind="block" name={gapName([...list, at])} drag={shared.drag} />
          <BlockDrawn shared={shared} style={style} path={[...list, at]} block={block} count={blocks.length} />
        </div>
      ))}
      <Gap kind="block" name={gapName([...list, blocks.length])} drag={shared.drag} />
      {blocks.length === 0 && <button type="button" className="add-here" onClick={(event) => { event.stopPropagation(); shared.hands.add([...list, 0]); }}>{t("visual.add_here")}</button>}
    </>
  );
}

function BlockDrawn({ shared, style, path, block, count }: { shared: Shared; style: Style; path: Path; block: Block; count: number }) {
  const { hands, selected, drag, wrong } = shared;
  const is = selected.what === "block" && same(selected.path, path);
  const isDragged = drag?.load.what === "block" && same(drag.load.path, path);
  const label = t("visual.block_n", { what: sayBlock(block), n: (path.at(-1) ?? 0) + 1, all: count });
  const me: Selected = { what: "block", path };
  const look = ["block", is && "selected", isDragged && "away", same(wrong, path) && "wrong-one"].filter(Boolean).join(" ");
  return (
    // biome-ignore lint: the handle does the same for the keyboard
    <div className={look} onClick={(event) => { event.stopPropagation(); hands.select(me); }} onPointerDown={(event) => { if (event.pointerType === "mouse") { event.stopPropagation(); hands.lift({ what: "block", path }, label)(event); } }}>
      <Handle id={`b${gapName(path)}`} label={label} pressed={is} lifted={is && shared.lifted} onKeyDown={hands.keys(me)} onClick={() => hands.select(me)} onPointerDown={(event) => { event.stopPropagation(); hands.lift({ what: "block", path }, label)(event); }} />
      {block.type === "loop" || block.type === "condition" ? <Inner shared={shared} style={style} path={path} block={block} /> : <Leaf block={block} style={style} savedName={shared.savedName} />}
      {is && <div className="block-tools"><Button small icon="gear" onClick={(event) => { event.stopPropagation(); hands.open(); }}>{t("visual.settings")}</Button></div>}
    </div>
  );
}

function Inner({ shared, style, path, block }: { shared: Shared; style: Style; path: Path; block: Extract<Block, { type: "loop" | "condition" }> }) {
  const head = block.type === "loop" ? t("visual.for_each", { item: block.item ?? "item", list: block.of || "…" }) : t("visual.only_if", { when: block.when });
  return (
    <div className="inner">
      <div className="inner-head">{head}</div>
      {branches(block).map((blocks, branch) => (
        // biome-ignore lint: there are two at most
        <div key={branch}>
          {branch === 1 && <div className="inner-head">{t("visual.otherwise")}</div>}
          <Blocks shared={shared} style={style} list={[...path, branch]} blocks={blocks} />
        </div>
      ))}
    </div>
  );
}

/** Where something stands, for who does not see it. */
export function sayPlace(doc: Doc, path: Path): string {
  const [section = 0, column = 0] = path;
  const block = blockAt(doc, path);
  return t("visual.now_at", { what: block ? sayBlock(block) : "", n: (path.at(-1) ?? 0) + 1, column: column + 1, section: section + 1 });
}
