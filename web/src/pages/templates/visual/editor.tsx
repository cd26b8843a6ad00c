// The visual editor: what can be put in, the mail, the settings of what is selected. Everything that
// a pointer does the keyboard does, too: Space picks up, arrows move, Space lays down.
import { useQueryClient } from "@tanstack/react-query";
import { type KeyboardEvent, useCallback, useEffect, useId, useRef, useState } from "react";
import { api, client, got } from "../../../api/client";
import { addSection, begin, type Block, blockAt, change, type Doc, insert, KINDS, type Kind, move, moveSection, type Path, pathOf, record, redo, remove, removeSection, step, undo } from "../../../lib/document";
import { t, word } from "../../../lib/text";
import { Button, Card, Copy } from "../../../parts/basic";
import { given } from "../../../parts/form";
import { Icon } from "../../../parts/icon";
import { FormDialog } from "../../../parts/maker";
import { tell } from "../../../parts/toast";
import { Canvas, sayPlace, type Selected } from "./canvas";
import { gapName, type Load, pathOfGap, useDrag } from "./drag";
import { sayBlock } from "./draw";
import { BlockSettings, MailSettings, SectionSettings } from "./inspect";
import { firstDocument, starter } from "./starters";
import "./visual.css";

interface Props {
  value: string;
  change: (value: string) => void;
  names: string[];
  writes: boolean;
  /** What the daemon has named as wrong, such as `document.sections[0]…`. */
  wrong?: string;
}

function read(text: string): Doc {
  try {
    const doc = JSON.parse(text) as Doc;
    return Array.isArray(doc.sections) ? doc : firstDocument();
  } catch {
    return firstDocument();
  }
}

const handleOf = (selected: Selected): string => (selected.what === "block" ? `b${gapName(selected.path)}` : selected.what === "section" ? `s${selected.at}` : "");

export default function VisualEditor({ value, change: tellChange, names, writes, wrong }: Props) {
  const [history, setHistory] = useState(() => begin(read(value)));
  const [selected, setSelected] = useState<Selected>({ what: "mail" });
  const [lifted, setLifted] = useState<{ doc: Doc; selected: Selected } | null>(null);
  const [said, setSaid] = useState("");
  const [saving, setSaving] = useState<Block | null>(null);
  const inspector = useRef<HTMLDivElement>(null);
  const wanted = useRef<string | null>(null);
  const doc = history.now;
  const saved = api.useQuery("get", "/v1/saved-blocks").data?.items ?? [];
  const media = api.useQuery("get", "/v1/media").data?.items ?? [];
  const images = media.flatMap((one) => (one.url ? [one.url] : []));
  const savedName = (id: number) => saved.find((one) => one.id === id)?.name ?? String(id);
  const wrongPath = wrong ? pathOf(wrong) : null;

  const latest = useRef(tellChange);
  latest.current = tellChange;
  const first = useRef(doc);
  useEffect(() => {
    if (doc === first.current) return;
    first.current = doc;
    latest.current(JSON.stringify(doc));
  }, [doc]);
  // After a move the focus goes along with what was moved.
  useEffect(() => {
    if (wanted.current === null) return;
    document.querySelector<HTMLElement>(`[data-handle="${wanted.current}"]`)?.focus();
    wanted.current = null;
  });

  const put = useCallback((next: Doc, tag: string | null = null) => setHistory((before) => record(before, next, tag)), []);
  const go = (next: Doc, to: Selected, focus = false) => {
    put(next);
    setSelected(to);
    if (focus) wanted.current = handleOf(to);
  };
  const open = () => inspector.current?.querySelector<HTMLElement>("textarea, input, select")?.focus();

  const drop = (load: Load, gap: string) => {
    if (load.what === "section") {
      const to = Number(gap);
      return go(moveSection(doc, load.at, to), { what: "section", at: to > load.at ? to - 1 : to }, true);
    }
    const path = pathOfGap(gap);
    if (load.what === "new") return go(insert(doc, path, starter(load.kind)), { what: "block", path }, true);
    const moved = move(doc, load.path, path);
    go(moved.doc, { what: "block", path: moved.path }, true);
    setSaid(sayPlace(moved.doc, moved.path));
  };
  const { drag, lift, canvas } = useDrag(drop);

  /** Behind what is selected, or at the end. */
  const place = (): Path => {
    if (selected.what === "block") return [...selected.path.slice(0, -1), (selected.path.at(-1) ?? 0) + 1];
    const at = selected.what === "section" ? selected.at : doc.sections.length - 1;
    const columns = doc.sections[at]?.columns ?? [];
    const column = selected.what === "section" ? 0 : columns.length - 1;
    return [at, column, columns[column]?.blocks.length ?? 0];
  };
  const add = (kind: Kind, path = place()) => {
    const base = doc.sections.length === 0 ? addSection(doc, 0, 1) : doc;
    const at = doc.sections.length === 0 ? [0, 0, 0] : path;
    go(insert(base, at, starter(kind)), { what: "block", path: at }, true);
    setSaid(t("visual.added", { what: word("block", kind) }));
  };

  const moveBy = (by: 1 | -1) => {
    if (selected.what === "block") {
      const moved = step(doc, selected.path, by);
      if (moved.doc === doc) return;
      go(moved.doc, { what: "block", path: moved.path }, true);
      setSaid(sayPlace(moved.doc, moved.path));
    } else if (selected.what === "section") {
      const at = selected.at + by;
      if (at < 0 || at >= doc.sections.length) return;
      go(moveSection(doc, selected.at, by === 1 ? at + 1 : at), { what: "section", at }, true);
      setSaid(t("visual.section_n", { n: at + 1, all: doc.sections.length }));
    }
  };
  const dropSelected = () => {
    if (selected.what === "block") go(remove(doc, selected.path), { what: "section", at: selected.path[0] ?? 0 }, true);
    if (selected.what === "section") go(removeSection(doc, selected.at), { what: "mail" });
    setSaid(t("visual.removed"));
  };
  const twice = () => {
    if (selected.what !== "block") return;
    const block = blockAt(doc, selected.path);
    if (block) go(insert(doc, place(), block), { what: "block", path: place() }, true);
  };
  const back = () => {
    setHistory(undo);
    setSelected({ what: "mail" });
  };
  const forth = () => {
    setHistory(redo);
    setSelected({ what: "mail" });
  };

  const keys = (me: Selected) => (event: KeyboardEvent) => {
    const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    const isMe = selected.what === me.what && handleOf(selected) === handleOf(me);
    if (event.key === " ") {
      event.preventDefault();
      setSelected(me);
      setLifted(lifted ? null : { doc, selected: me });
      setSaid(t(lifted ? "visual.laid_down" : "visual.picked_up"));
    } else if (event.key === "Enter") {
      event.preventDefault();
      setSelected(me);
      setLifted(null);
      // Once its settings are drawn.
      requestAnimationFrame(open);
    } else if (event.key === "Escape" && lifted) {
      event.stopPropagation();
      go(lifted.doc, lifted.selected, true);
      setLifted(null);
      setSaid(t("visual.put_back"));
    } else if (by !== 0 && isMe && (lifted || event.altKey)) {
      event.preventDefault();
      moveBy(by);
    } else if ((event.key === "Delete" || event.key === "Backspace") && isMe) {
      event.preventDefault();
      dropSelected();
    }
  };
  const shortcuts = (event: KeyboardEvent) => {
    const typing = event.target instanceof HTMLElement && ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
    if (!(event.ctrlKey || event.metaKey) || typing) return;
    const key = event.key.toLowerCase();
    if (key === "z" || key === "y") {
      event.preventDefault();
      if (key === "y" || event.shiftKey) forth();
      else back();
    }
  };

  const block = selected.what === "block" ? blockAt(doc, selected.path) : undefined;
  const hands = { select: (next: Selected) => { setSelected(next); setLifted(null); }, open, lift: writes ? lift : () => () => {}, keys: writes ? keys : () => () => {}, add: (path: Path) => add("text", path) };
  return (
    // biome-ignore lint: it only listens for Ctrl+Z of what is in it
    <div className="visual" onKeyDown={shortcuts}>
      <div className="visual-bar">
        <Button small look="quiet" icon="undo" disabled={history.past.length === 0} onClick={back}>{t("visual.undo")}</Button>
        <Button small look="quiet" icon="redo" disabled={history.future.length === 0} onClick={forth}>{t("visual.redo")}</Button>
        <Button small look="quiet" icon="gear" aria-pressed={selected.what === "mail"} onClick={() => setSelected({ what: "mail" })}>{t("visual.whole")}</Button>
        <span className="faint grow" id="visual-keys">{t("visual.keys")}</span>
      </div>
      <Palette add={add} addColumns={(n) => { const at = selected.what === "section" ? selected.at + 1 : selected.what === "block" ? (selected.path[0] ?? 0) + 1 : doc.sections.length; go(addSection(doc, at, n), { what: "section", at }, true); }} lift={writes ? lift : () => () => {}} writes={writes} />
      <Canvas canvas={canvas} shared={{ doc, selected, lifted: lifted !== null, wrong: wrongPath, drag, hands, savedName }} />
      <div className="inspector" ref={inspector}>
        <Card title={block ? word("block", block.type) : selected.what === "section" ? t("visual.section_n", { n: selected.at + 1, all: doc.sections.length }) : t("visual.whole")}>
          <fieldset className="stack" disabled={!writes}>
            {block && selected.what === "block" && <BlockSettings key={gapName(selected.path)} block={block} doc={doc} known={{ names, saved, images }} change={(next, tag) => put(change(doc, selected.path, next), `${gapName(selected.path)} ${tag}`)} />}
            {selected.what === "section" && <SectionSettings key={selected.at} doc={doc} at={selected.at} change={(next, tag) => put(next, `s${selected.at} ${tag}`)} />}
            {selected.what === "mail" && <MailSettings doc={doc} names={names} change={put} />}
            {selected.what !== "mail" && (
              <div className="row">
                <Button small onClick={() => moveBy(-1)}>{t("visual.up")}</Button>
                <Button small onClick={() => moveBy(1)}>{t("visual.down")}</Button>
                {block && <Button small onClick={twice}>{t("visual.twice")}</Button>}
                {block && block.type !== "saved" && <Button small onClick={() => setSaving(block)}>{t("visual.save_block")}</Button>}
                {block?.type === "saved" && selected.what === "block" && <Button small onClick={() => { const kept = saved.find((one) => one.id === block.block); if (kept) go(insert(remove(doc, selected.path), selected.path, ...kept.blocks), selected, true); }}>{t("visual.unpack")}</Button>}
                <Button small look="danger" onClick={dropSelected}>{t("visual.remove")}</Button>
              </div>
            )}
          </fieldset>
        </Card>
        <details>
          <summary>{t("visual.as_json")}</summary>
          <Copy text={JSON.stringify(doc)} label={t("visual.as_json")} />
        </details>
      </div>
      <div className="unseen" role="status" aria-live="assertive">{said}</div>
      {drag && <div className="ghost" style={{ left: drag.x, top: drag.y }} aria-hidden="true">{drag.label}</div>}
      {saving && selected.what === "block" && <Keep block={saving} known={saved} close={() => setSaving(null)} kept={(id) => go(change(doc, selected.path, { type: "saved", block: id }), selected, true)} />}
    </div>
  );
}

function Palette({ add, addColumns, lift, writes }: { add: (kind: Kind) => void; addColumns: (n: number) => void; lift: (load: Load, label: string) => (event: React.PointerEvent) => void; writes: boolean }) {
  const id = useId();
  return (
    <div className="visual-palette" role="group" aria-labelledby={id}>
      <h2 id={id} className="label">{t("visual.put_in")}</h2>
      <div className="kinds">
        {KINDS.map((kind) => (
          <button key={kind} type="button" className="kind" disabled={!writes} onClick={() => add(kind)} onPointerDown={lift({ what: "new", kind }, word("block", kind))}>
            <Icon name={`block_${kind}`} />
            {word("block", kind)}
          </button>
        ))}
      </div>
      <h2 className="label">{t("visual.new_section")}</h2>
      <div className="kinds">
        {[1, 2, 3, 4].map((n) => (
          <button key={n} type="button" className="kind" disabled={!writes} onClick={() => addColumns(n)}>
            <span className="mini" aria-hidden="true">{Array.from({ length: n }, (_, at) => <i key={`${n}${at}`} />)}</span>
            {t("visual.n_columns", { n })}
          </button>
        ))}
      </div>
    </div>
  );
}

/** Keeps a block under a name, new or known, and leaves a reference to it in its place. */
function Keep({ block, known, close, kept }: { block: Block; known: { id: number; name: string }[]; close: () => void; kept: (id: number) => void }) {
  const queryClient = useQueryClient();
  return (
    <FormDialog close={close} title={t("visual.save_block")} text={t("visual.save_text", { what: sayBlock(block) })} button={t("act.save")} fields={[
      { name: "over", label: t("visual.save_as"), kind: "select", options: [["", t("visual.save_new")], ...known.map((one): [string, string] => [String(one.id), one.name])] },
      { name: "name", label: t("templates.name"), required: true, shown: (values) => values.over === "" },
    ]} submit={async (values) => {
      const over = given(values, "over");
      const name = given(values, "name") ?? known.find((one) => String(one.id) === over)?.name ?? "";
      const body = { name, blocks: [block] };
      const made = over ? await got(client.PUT("/v1/saved-blocks/{id}", { params: { path: { id: Number(over) } }, body })) : await got(client.POST("/v1/saved-blocks", { body }));
      await queryClient.invalidateQueries({ queryKey: ["get", "/v1/saved-blocks"] });
      kept(made.id);
      tell(t("act.saved"));
    }} />
  );
}

