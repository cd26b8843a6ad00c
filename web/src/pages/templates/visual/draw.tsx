// Blocks as they will roughly look, while they are put together; the preview shows what is sent.
import { Fragment, type ReactNode } from "react";
import type { Block, Doc, Of } from "../../../lib/document";
import { t, word } from "../../../lib/text";

const FONTS: Record<string, string> = { sans: "Arial, Helvetica, sans-serif", serif: "Georgia, serif", rounded: "Verdana, sans-serif", mono: "'Courier New', monospace" };

export type Style = NonNullable<Doc["style"]>;

export const STYLE: Style = { width: 600, background: "#f3f5f6", surface: "#ffffff", color: "#1d2327", link_color: "#0b6b63", font: "sans" };

export function fontOf(style: Style): string {
  return FONTS[style.font ?? "sans"] ?? "sans-serif";
}

const INLINE = /(\*\*[^*]+\*\*|\*[^*]+\*|\[[^\]]*\]\([^)]*\)|\{\{.*?\}\}|\{%.*?%\})/;

/** Bold, italic, links and fields of a line. */
function inline(text: string, style: Style): ReactNode {
  return text.split(INLINE).map((part, at) => {
    const key = `${at}${part}`;
    const link = /^\[([^\]]*)\]/.exec(part);
    if (part.startsWith("**")) return <strong key={key}>{inline(part.slice(2, -2), style)}</strong>;
    if (part.startsWith("{")) return <span key={key} className="field-chip">{part.replace(/[{}%]/g, "").trim()}</span>;
    if (part.startsWith("*") && part.length > 2) return <em key={key}>{part.slice(1, -1)}</em>;
    if (link) return <span key={key} style={{ color: style.link_color, textDecoration: "underline" }}>{link[1]}</span>;
    return <Fragment key={key}>{part}</Fragment>;
  });
}

/** Paragraphs, headings and lists of Markdown. */
function Markdown({ text, style }: { text: string; style: Style }) {
  const parts = text.split(/\n\s*\n/).filter((part) => part.trim() !== "");
  return parts.map((part, at) => {
    const lines = part.split("\n");
    const key = `${at}${part}`;
    const items = lines.filter((line) => /^\s*([-*]|\d+\.)\s/.test(line));
    if (items.length === lines.length) return <div key={key} style={{ marginBottom: 12 }}>{items.map((line, place) => <div key={`${place}${line}`}>{/^\s*\d/.test(line) ? line.trim().split(" ")[0] : "•"} {inline(line.replace(/^\s*([-*]|\d+\.)\s/, ""), style)}</div>)}</div>;
    const heading = /^(#{1,3})\s+(.*)$/.exec(part);
    if (heading) return <div key={key} style={{ fontSize: `${1.9 - 0.3 * (heading[1]?.length ?? 1)}em`, fontWeight: 700, marginBottom: 8 }}>{inline(heading[2] ?? "", style)}</div>;
    return <div key={key} style={{ marginBottom: 12 }}>{lines.map((line, place) => <Fragment key={`${place}${line}`}>{place > 0 && " "}{inline(line, style)}</Fragment>)}</div>;
  });
}

const SIZES = [28, 28, 22, 18];

function Picture({ block }: { block: Of<"image"> }) {
  // Nothing is fetched from other hosts here; the preview's frame does not either.
  return <div style={{ textAlign: block.align ?? "center" }}><span className="picture" style={{ borderRadius: block.radius, width: block.width ?? "100%" }}>{block.alt || t("visual.no_alt")}</span></div>;
}

function Pill({ block, style }: { block: Of<"button">; style: Style }) {
  const background = block.background ?? style.link_color ?? "#0b6b63";
  return <div style={{ textAlign: block.align ?? "center" }}><span style={{ display: "inline-block", padding: "12px 24px", fontWeight: 600, background, color: block.color ?? readableOn(background), borderRadius: block.radius }}>{inline(block.text, style)}</span></div>;
}

/** Black or white, as the daemon chooses it. */
export function readableOn(color: string): string {
  const digits = color.replace("#", "");
  const parts = digits.length === 3 ? [...digits].map((one) => one + one) : [digits.slice(0, 2), digits.slice(2, 4), digits.slice(4, 6)];
  const [red = 0, green = 0, blue = 0] = parts.map((part) => Number.parseInt(part, 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#111111" : "#ffffff";
}

/** What has no blocks of its own. */
export function Leaf({ block, style, savedName }: { block: Block; style: Style; savedName: (id: number) => string }) {
  switch (block.type) {
    case "heading": return <div style={{ fontSize: SIZES[block.level ?? 1], lineHeight: 1.25, fontWeight: 700, textAlign: block.align, color: block.color ?? undefined }}>{inline(block.text, style)}</div>;
    case "text": return <div style={{ fontSize: block.size, textAlign: block.align, color: block.color ?? undefined }}><Markdown text={block.text} style={style} /></div>;
    case "image": return <Picture block={block} />;
    case "button": return <Pill block={block} style={style} />;
    case "divider": return <div style={{ padding: "10px 0" }}><div style={{ borderTop: `${block.thickness ?? 1}px solid ${block.color ?? "#d5dbe0"}` }} /></div>;
    case "spacer": return <div className="gap" style={{ height: block.height }}>{block.height} px</div>;
    case "social": return <div style={{ textAlign: block.align ?? "center" }}>{block.links.map((link, at) => <span key={`${at}${link.network}`} className="network">{word("network", link.network)}</span>)}</div>;
    case "html": return <pre className="raw">{block.html.slice(0, 400)}</pre>;
    case "saved": return <div className="kept">{t("visual.saved_is", { name: savedName(block.block) })}</div>;
    default: return null;
  }
}

/** A block in a few words, for who does not see it. */
export function sayBlock(block: Block): string {
  const text = "text" in block ? block.text : block.type === "image" ? (block.alt ?? "") : block.type === "condition" ? block.when : block.type === "loop" ? block.of : "";
  const short = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  return short === "" ? word("block", block.type) : `${word("block", block.type)}: ${short}`;
}
