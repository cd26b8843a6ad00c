// What a new block holds, and with what a new mail begins.
import type { Block, Doc, Kind } from "../../../lib/document";
import { t } from "../../../lib/text";

export function starter(kind: Kind): Block {
  switch (kind) {
    case "heading": return { type: "heading", text: t("visual.new_heading"), level: 2, align: "left" };
    case "text": return { type: "text", text: t("visual.new_text"), align: "left", size: 16 };
    case "image": return { type: "image", src: "https://", alt: "", align: "center", radius: 0 };
    case "button": return { type: "button", text: t("visual.new_button"), link: "https://", align: "center", radius: 6 };
    case "divider": return { type: "divider", thickness: 1 };
    case "spacer": return { type: "spacer", height: 24 };
    case "social": return { type: "social", align: "center", links: [{ network: "web", link: "https://" }] };
    case "html": return { type: "html", html: "<p>…</p>" };
    case "loop": return { type: "loop", of: "", item: "item", blocks: [{ type: "text", text: "{{ item }}", align: "left", size: 16 }] };
    case "condition": return { type: "condition", when: "name", blocks: [{ type: "text", text: t("visual.new_text"), align: "left", size: 16 }], otherwise: [] };
    case "saved": return { type: "saved", block: 0 };
  }
}

export function firstDocument(): Doc {
  return {
    preview: "",
    style: { width: 600, background: "#f3f5f6", surface: "#ffffff", color: "#1d2327", link_color: "#0b6b63", font: "sans" },
    sections: [
      { padding: 24, columns: [{ blocks: [
        { type: "heading", text: t("visual.first_heading"), level: 1, align: "left" },
        { type: "text", text: t("visual.first_text"), align: "left", size: 16 },
        { type: "button", text: t("visual.new_button"), link: "https://example.com/", align: "left", radius: 6 },
      ] }] },
      { padding: 16, background: "#f3f5f6", columns: [{ blocks: [
        { type: "text", text: `[${t("visual.first_leave")}]({{ unsubscribe_url }})`, align: "center", size: 13, color: "#56626b" },
      ] }] },
    ],
  };
}
