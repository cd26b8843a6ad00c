// The settings of what is selected: a block, a section, or the whole mail.
import type { Schemas } from "../../../api/client";
import { type Block, changeSection, type Doc, type Section, setColumns, setShares } from "../../../lib/document";
import { t, word } from "../../../lib/text";
import { Button } from "../../../parts/basic";
import { STYLE } from "./draw";
import { Aligned, Colour, Count, Line, Pick, Words } from "./inputs";

type Change = (block: Block, tag: string) => void;

const NETWORKS: Schemas["Network"][] = ["bluesky", "facebook", "github", "instagram", "linkedin", "mastodon", "pinterest", "tiktok", "web", "x", "youtube"];
const FONTS: Schemas["Font"][] = ["sans", "serif", "rounded", "mono"];

export interface Known {
  names: string[];
  /** Addresses of images of the organization. */
  images: string[];
  saved: Schemas["SavedBlocksView"][];
}

export function BlockSettings({ block, change, known, doc }: { block: Block; change: Change; known: Known; doc: Doc }) {
  const style = { ...STYLE, ...doc.style };
  const { names } = known;
  switch (block.type) {
    case "heading": return (
      <>
        <Words label={t("visual.text")} value={block.text} rows={2} names={names} change={(text) => change({ ...block, text: text.replace(/\n/g, " ") }, "text")} />
        <Pick label={t("visual.level")} value={String(block.level ?? 1)} options={["1", "2", "3"].map((level) => [level, t("visual.level_n", { n: Number(level) })])} change={(level) => change({ ...block, level: Number(level) }, "level")} />
        <Aligned value={block.align} change={(align) => change({ ...block, align }, "align")} />
        <Colour label={t("visual.color")} value={block.color} usual={style.color} change={(color) => change({ ...block, color }, "color")} />
      </>
    );
    case "text": return (
      <>
        <Words label={t("visual.text")} value={block.text} markdown rows={8} names={names} change={(text) => change({ ...block, text }, "text")} />
        <Count label={t("visual.size")} value={block.size} min={8} max={60} change={(size) => change({ ...block, size: size ?? 16 }, "size")} />
        <Aligned value={block.align} change={(align) => change({ ...block, align }, "align")} />
        <Colour label={t("visual.color")} value={block.color} usual={style.color} change={(color) => change({ ...block, color }, "color")} />
      </>
    );
    case "image": return (
      <>
        <Line label={t("visual.src")} value={block.src} list={known.images} hint={t("visual.src_hint")} change={(src) => change({ ...block, src }, "src")} />
        <Line label={t("visual.alt")} value={block.alt ?? ""} hint={t("visual.alt_hint")} change={(alt) => change({ ...block, alt }, "alt")} />
        <Line label={t("visual.link_to")} value={block.link ?? ""} change={(link) => change({ ...block, link: link === "" ? undefined : link }, "link")} />
        <Count label={t("visual.width_px")} value={block.width} min={1} max={900} change={(width) => change({ ...block, width }, "width")} />
        <Count label={t("visual.radius")} value={block.radius} min={0} max={200} change={(radius) => change({ ...block, radius: radius ?? 0 }, "radius")} />
        <Aligned value={block.align} change={(align) => change({ ...block, align }, "align")} />
      </>
    );
    case "button": return (
      <>
        <Words label={t("visual.text")} value={block.text} rows={2} names={names} change={(text) => change({ ...block, text: text.replace(/\n/g, " ") }, "text")} />
        <Line label={t("visual.link_to")} value={block.link} change={(link) => change({ ...block, link }, "link")} />
        <Colour label={t("visual.background")} value={block.background} usual={style.link_color} change={(background) => change({ ...block, background }, "background")} />
        <Colour label={t("visual.color")} value={block.color} usual="#ffffff" change={(color) => change({ ...block, color }, "color")} />
        <Count label={t("visual.radius")} value={block.radius} min={0} max={200} change={(radius) => change({ ...block, radius: radius ?? 0 }, "radius")} />
        <Aligned value={block.align} change={(align) => change({ ...block, align }, "align")} />
      </>
    );
    case "divider": return (
      <>
        <Count label={t("visual.thickness")} value={block.thickness} min={1} max={20} change={(thickness) => change({ ...block, thickness: thickness ?? 1 }, "thickness")} />
        <Colour label={t("visual.color")} value={block.color} usual="#d5dbe0" change={(color) => change({ ...block, color }, "color")} />
      </>
    );
    case "spacer": return <Count label={t("visual.height")} value={block.height} min={1} max={400} change={(height) => change({ ...block, height: height ?? 24 }, "height")} />;
    case "html": return <Words label="HTML" value={block.html} rows={12} names={names} change={(html) => change({ ...block, html }, "html")} />;
    case "social": return <SocialSettings block={block} change={change} />;
    case "loop": return (
      <>
        <Line label={t("visual.list")} value={block.of} list={names} hint={t("visual.list_hint")} change={(of) => change({ ...block, of }, "of")} />
        <Line label={t("visual.item_name")} value={block.item ?? "item"} hint={t("visual.item_hint", { item: block.item ?? "item" })} change={(item) => change({ ...block, item }, "item")} />
      </>
    );
    case "condition": return <Line label={t("visual.when")} value={block.when} list={names} hint={t("visual.when_hint")} change={(when) => change({ ...block, when }, "when")} />;
    case "saved": return <Pick label={t("visual.saved_block")} value={String(block.block)} options={[...(known.saved.some((one) => one.id === block.block) ? [] : [[String(block.block), "–"] as [string, string]]), ...known.saved.map((one): [string, string] => [String(one.id), one.name])]} change={(id) => change({ ...block, block: Number(id) }, "block")} />;
  }
}

function SocialSettings({ block, change }: { block: Extract<Block, { type: "social" }>; change: Change }) {
  const links = (next: typeof block.links) => change({ ...block, links: next }, "links");
  return (
    <>
      {block.links.map((link, at) => (
        // biome-ignore lint: a link is known by its place
        <fieldset key={at} className="field boxed">
          <legend className="label">{t("visual.link_n", { n: at + 1 })}</legend>
          <Pick label={t("visual.network")} value={link.network} options={NETWORKS.map((name) => [name, word("network", name)])} change={(network) => links(block.links.map((one, place) => (place === at ? { ...one, network: network as Schemas["Network"] } : one)))} />
          <Line label={t("visual.link_to")} value={link.link} change={(to) => links(block.links.map((one, place) => (place === at ? { ...one, link: to } : one)))} />
          <div><Button small look="danger" onClick={() => links(block.links.filter((_, place) => place !== at))}>{t("visual.remove_link")}</Button></div>
        </fieldset>
      ))}
      <div><Button small icon="plus" onClick={() => links([...block.links, { network: "web", link: "https://" }])}>{t("visual.add_link")}</Button></div>
      <Aligned value={block.align} change={(align) => change({ ...block, align }, "align")} />
    </>
  );
}

const SHARES: Record<number, string[]> = { 1: ["1"], 2: ["1:1", "1:2", "2:1"], 3: ["1:1:1", "2:1:1", "1:2:1", "1:1:2"], 4: ["1:1:1:1"] };

function sharesOf(section: Section): string {
  const widths = section.columns.map((column) => column.width ?? 0);
  const least = Math.min(...widths);
  if (least === 0) return widths.map(() => 1).join(":");
  return widths.map((width) => Math.round(width / least)).join(":");
}

export function SectionSettings({ doc, at, change }: { doc: Doc; at: number; change: (doc: Doc, tag: string) => void }) {
  const section = doc.sections[at];
  if (!section) return null;
  const count = section.columns.length;
  const shares = SHARES[count] ?? [];
  const now = sharesOf(section);
  return (
    <>
      <Pick label={t("visual.columns")} value={String(count)} options={["1", "2", "3", "4"].map((n) => [n, n])} change={(n) => change(setColumns(doc, at, Number(n)), "columns")} />
      {count > 1 && <Pick label={t("visual.shares")} value={now} options={[...new Set([...shares, now])].map((one) => [one, one])} change={(next) => change(setShares(doc, at, next.split(":").map(Number)), "shares")} />}
      <Colour label={t("visual.background")} value={section.background} usual={doc.style?.surface ?? STYLE.surface} change={(background) => change(changeSection(doc, at, { background }), "background")} />
      <Count label={t("visual.padding")} value={section.padding} min={0} max={200} change={(padding) => change(changeSection(doc, at, { padding: padding ?? 0 }), "padding")} />
      <Line label={t("visual.when")} value={section.when ?? ""} hint={t("visual.when_section")} change={(when) => change(changeSection(doc, at, { when: when === "" ? undefined : when }), "when")} />
    </>
  );
}

export function MailSettings({ doc, change, names }: { doc: Doc; change: (doc: Doc, tag: string) => void; names: string[] }) {
  const style = { ...STYLE, ...doc.style };
  const set = (part: Partial<typeof style>, tag: string) => change({ ...doc, style: { ...style, ...part } }, tag);
  return (
    <>
      <Words label={t("visual.preview_text")} value={doc.preview ?? ""} rows={2} names={names} change={(preview) => change({ ...doc, preview: preview.replace(/\n/g, " ") }, "preview")} />
      <Pick label={t("visual.font")} value={style.font ?? "sans"} options={FONTS.map((font) => [font, word("font", font)])} change={(font) => set({ font: font as Schemas["Font"] }, "font")} />
      <Count label={t("visual.mail_width")} value={style.width} min={320} max={900} change={(width) => set({ width: width ?? 600 }, "width")} />
      <Colour label={t("visual.around")} value={style.background} change={(color) => set({ background: color ?? STYLE.background }, "background")} />
      <Colour label={t("visual.surface")} value={style.surface} change={(color) => set({ surface: color ?? STYLE.surface }, "surface")} />
      <Colour label={t("visual.color")} value={style.color} change={(color) => set({ color: color ?? STYLE.color }, "color")} />
      <Colour label={t("visual.link_color")} value={style.link_color} change={(color) => set({ link_color: color ?? STYLE.link_color }, "link_color")} />
    </>
  );
}
