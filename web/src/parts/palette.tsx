// The command palette: Ctrl+K or /, then a page's name or whom a mail went to.
import { useNavigate } from "@tanstack/react-router";
import { Dialog as Kit } from "radix-ui";
import { type KeyboardEvent, useEffect, useId, useState } from "react";
import { useSession } from "../lib/session";
import { t } from "../lib/text";
import { PAGES } from "../pages";
import { Icon } from "./icon";

interface Command {
  text: string;
  hint: string;
  go: () => void;
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

export function Palette() {
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const listen = (event: globalThis.KeyboardEvent) => {
      const asked = (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !isTyping(event.target));
      if (!asked) return;
      event.preventDefault();
      setOpen(true);
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
  return (
    <Kit.Root open={open} onOpenChange={setOpen}>
      <Kit.Trigger asChild>
        <button type="button" className="jump"><Icon name="search" /><span>{t("palette.open")}</span><kbd>Ctrl K</kbd></button>
      </Kit.Trigger>
      <Kit.Portal>
        <Kit.Overlay className="veil" />
        <Kit.Content className="dialog palette" aria-describedby={undefined}>
          <Kit.Title className="unseen">{t("palette.open")}</Kit.Title>
          <Finder close={() => setOpen(false)} />
        </Kit.Content>
      </Kit.Portal>
    </Kit.Root>
  );
}

function Finder({ close }: { close: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const commands = useCommands(text.trim());
  const run = (command: Command | undefined) => {
    close();
    command?.go();
  };
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && commands.length > 0) {
      event.preventDefault();
      setAt((at + step + commands.length) % commands.length);
    }
    if (event.key === "Enter") {
      event.preventDefault();
      run(commands[at]);
    }
  };
  return (
    <>
      <input role="combobox" aria-expanded="true" aria-controls={id} aria-activedescendant={commands[at] ? `${id}-${at}` : undefined} aria-label={t("palette.open")} value={text} placeholder={t("palette.placeholder")} onKeyDown={press} onChange={(event) => { setText(event.target.value); setAt(0); }} />
      {/* biome-ignore lint: the options are steered from the field above */}
      <ul id={id} role="listbox" aria-label={t("palette.results")}>
        {commands.map((command, index) => (
          // biome-ignore lint: as above
          <li key={command.text + command.hint} id={`${id}-${index}`} role="option" aria-selected={index === at} onClick={() => run(command)} onMouseMove={() => setAt(index)}>
            <span>{command.text}</span>
            <span className="faint">{command.hint}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

function useCommands(text: string): Command[] {
  const { may, organizations, choose, who } = useSession();
  const navigate = useNavigate();
  const wanted = text.toLowerCase();
  const pages = PAGES.filter((page) => !page.part && (!page.needs || may(page.needs)))
    .filter((page) => t(page.title).toLowerCase().includes(wanted))
    .map((page): Command => ({ text: t(page.title), hint: page.group === "now" ? "" : t(`group.${page.group}`), go: () => void navigate({ to: page.path, search: {} }) }));
  const search: Command[] = [];
  if (wanted !== "" && may("messages_read")) {
    const filter: Record<string, string> = wanted.includes("@") ? { recipient: text } : { subject: text };
    search.push({ text: t("palette.search_mail", { text }), hint: t("messages.title"), go: () => void navigate({ to: "/messages", search: filter }) });
    if (/^\d+$/.test(text)) search.push({ text: t("palette.open_message", { id: text }), hint: t("messages.title"), go: () => void navigate({ to: "/messages/$id", params: { id: text } }) });
  }
  const many = organizations.length > 1 || who.installation_admin ? organizations : [];
  const switches = many
    .filter((one) => wanted !== "" && one.name.toLowerCase().includes(wanted))
    .map((one): Command => ({ text: one.name, hint: t("palette.switch"), go: () => choose(one.id) }));
  return [...pages, ...switches, ...search].slice(0, 30);
}
