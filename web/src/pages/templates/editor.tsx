// The code editor, fetched when a template is opened: HTML with the names that a template knows.
import { autocompletion, type CompletionContext } from "@codemirror/autocomplete";
import { html } from "@codemirror/lang-html";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { basicSetup } from "codemirror";
import { useEffect, useRef } from "react";
import { offered } from "../../lib/complete";
import { t } from "../../lib/text";

interface Props {
  value: string;
  names: string[];
  change: (value: string) => void;
}

const LOOK = EditorView.theme({
  "&": { backgroundColor: "var(--raised)", color: "var(--text)", fontSize: "0.87rem" },
  ".cm-content": { caretColor: "var(--text)", fontFamily: "var(--mono)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent-soft) 45%, transparent)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--info-soft) !important" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line)" },
  ".cm-line span": { color: "inherit" },
});

/** Names where one is being written. */
function fields(names: string[]) {
  return (context: CompletionContext) => {
    const line = context.state.doc.lineAt(context.pos);
    const found = offered(line.text.slice(0, context.pos - line.from), names);
    if (!found) return null;
    const word = context.matchBefore(/[\w.]*$/);
    return { from: word?.from ?? context.pos, options: found.labels.map((label) => ({ label, type: found.type })) };
  };
}

export default function Editor({ value, names, change }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const latest = useRef(change);
  latest.current = change;
  // biome-ignore lint: the editor keeps its own text once it is there
  useEffect(() => {
    if (!place.current) return;
    const extensions = [
      basicSetup,
      html(),
      LOOK,
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": t("template.body") }),
      autocompletion({ override: [fields(names)] }),
      EditorView.updateListener.of((update) => update.docChanged && latest.current(update.state.doc.toString())),
    ];
    const view = new EditorView({ parent: place.current, state: EditorState.create({ doc: value, extensions }) });
    return () => view.destroy();
  }, [names.join()]);
  return <div className="editor" ref={place} />;
}
