// Two ways to use the panel: with a pointer, and by keyboard alone.
import type { Locator, Page } from "playwright-core";
import { PATIENCE_MS } from "./world";

export interface Hand {
  press(what: Locator): Promise<void>;
  type(into: Locator, text: string): Promise<void>;
  choose(from: Locator, option: string): Promise<void>;
  turn(box: Locator): Promise<void>;
  /** A page of the navigation, by its title. */
  go(title: string): Promise<void>;
}

class Pointer implements Hand {
  constructor(protected readonly page: Page) {}

  async press(what: Locator) {
    await what.click();
  }

  async type(into: Locator, text: string) {
    await into.fill(text);
  }

  async choose(from: Locator, option: string) {
    await from.selectOption({ label: option });
  }

  async turn(box: Locator) {
    await box.click();
  }

  async go(title: string) {
    const menu = this.page.getByRole("button", { name: "Menu", exact: true });
    if (await menu.isVisible()) await this.press(menu);
    await this.press(this.page.getByRole("navigation").getByRole("link", { name: title, exact: true }));
    await this.page.getByRole("heading", { level: 1, name: title }).waitFor();
  }
}

const TABS_MAX = 250;

class Keyboard extends Pointer {
  /** By Tab alone, as somebody without a mouse would. */
  private async reach(what: Locator) {
    await what.waitFor({ timeout: PATIENCE_MS });
    for (let tab = 0; tab < TABS_MAX; tab += 1) {
      // Of several tabs one is in the order of Tab; arrows lead from it to the others.
      const key = await what.evaluate((element) => {
        const here = document.activeElement;
        if (element === here) return null;
        const role = element.getAttribute("role");
        const isBeside = here?.parentElement === element.parentElement;
        if (role === "menuitem") return here?.closest("[role=menu]") === element.closest("[role=menu]") ? "ArrowDown" : "Tab";
        return role === "tab" && isBeside ? "ArrowRight" : "Tab";
      });
      if (key === null) return;
      await this.page.keyboard.press(key);
    }
    throw new Error(`${what} cannot be reached by Tab`);
  }

  override async press(what: Locator) {
    await this.reach(what);
    await this.page.keyboard.press("Enter");
  }

  override async type(into: Locator, text: string) {
    await this.reach(into);
    await this.page.keyboard.press("ControlOrMeta+A");
    await this.page.keyboard.insertText(text);
  }

  override async choose(from: Locator, option: string) {
    await this.reach(from);
    // A select takes the option whose first letters are typed.
    await this.page.keyboard.type(option, { delay: 5 });
  }

  override async turn(box: Locator) {
    await this.reach(box);
    await this.page.keyboard.press("Space");
  }

  override async go(title: string) {
    await this.page.keyboard.press("ControlOrMeta+K");
    const field = this.page.getByRole("combobox", { name: "Go to …" });
    await field.waitFor();
    await this.page.keyboard.type(title);
    await this.page.getByRole("option", { name: new RegExp(`^${title}`) }).first().waitFor();
    await this.page.keyboard.press("Enter");
    await this.page.getByRole("heading", { level: 1, name: title }).waitFor();
  }
}

export function handOf(kind: "pointer" | "keyboard", page: Page): Hand {
  return kind === "pointer" ? new Pointer(page) : new Keyboard(page);
}
