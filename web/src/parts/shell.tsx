// What stands around every page: navigation, organization, account, palette.
import { Link, useLocation, useNavigate } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { useSession } from "../lib/session";
import { chosenLanguage, LANGUAGES, type Language, t } from "../lib/text";
import { chooseTheme, chosenTheme, THEMES, type Theme } from "../lib/theme";
import { GROUPS, PAGES, type PageEntry } from "../pages";
import { Button } from "./basic";
import { Icon } from "./icon";
import { Choice, Items, Menu } from "./menu";
import { Palette } from "./palette";

export function Shell({ children }: { children: ReactNode }) {
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();
  const main = useRef<HTMLElement>(null);
  const before = useRef(pathname);
  useTitle(pathname);
  useEffect(() => {
    if (before.current === pathname) return;
    before.current = pathname;
    setOpen(false);
    // Who uses a keyboard goes on from the new page, not from the link that led to it.
    main.current?.focus();
  }, [pathname]);
  return (
    <div className="shell">
      <a className="skip" href="#main">{t("shell.skip")}</a>
      <aside className={open ? "side open" : "side"}>
        <Link to="/" className="brand"><img src="/icon.svg" alt="" />Postroad</Link>
        <Navigation />
      </aside>
      <button type="button" className={open ? "scrim open" : "scrim"} aria-label={t("shell.close_menu")} tabIndex={open ? 0 : -1} onClick={() => setOpen(false)} />
      <div>
        <header className="top">
          <Button look="quiet" className="menu-button" aria-label={t("shell.menu")} aria-expanded={open} onClick={() => setOpen(!open)}><Icon name="menu" /></Button>
          <Palette />
          <span className="grow" />
          <Organizations />
          <Account />
        </header>
        <main className="main" id="main" tabIndex={-1} ref={main}>{children}</main>
      </div>
    </div>
  );
}

function pageOf(pathname: string): PageEntry | undefined {
  const parts = pathname.split("/");
  return PAGES.find((page) => page.path.split("/").length === parts.length && page.path.split("/").every((part, at) => part.startsWith("$") || part === parts[at]));
}

function useTitle(pathname: string) {
  const page = pageOf(pathname);
  useEffect(() => {
    document.title = page ? `${t(page.title)} · Postroad` : "Postroad";
  }, [page]);
}

function Navigation() {
  const { may } = useSession();
  const { pathname } = useLocation();
  const shown = PAGES.filter((page) => !page.part && (!page.needs || may(page.needs)));
  const isHere = (page: PageEntry) => (page.path === "/" ? pathname === "/" : pathname === page.path || pathname.startsWith(`${page.path}/`));
  return (
    <nav className="nav" aria-label={t("shell.navigation")}>
      {GROUPS.map((group) => {
        const pages = shown.filter((page) => page.group === group);
        if (pages.length === 0) return null;
        return (
          <div key={group}>
            {group !== "now" && <h2>{t(`group.${group}`)}</h2>}
            {pages.map((page) => (
              <Link key={page.path} to={page.path} search={{}} aria-current={isHere(page) ? "page" : undefined}>
                <Icon name={page.icon} />
                {t(page.title)}
              </Link>
            ))}
          </div>
        );
      })}
    </nav>
  );
}

function Organizations() {
  const { organizations, organization, choose, who } = useSession();
  if (organizations.length === 0 || (organizations.length === 1 && !who.installation_admin)) return null;
  const name = organizations.find((one) => one.id === organization)?.name ?? t("shell.all_organizations");
  const all: [string, string][] = who.installation_admin ? [["0", t("shell.all_organizations")]] : [];
  const options = [...all, ...organizations.map((one): [string, string] => [String(one.id), one.name])];
  return (
    <Menu trigger={<Button look="quiet" aria-label={t("shell.organization_of", { name })}>{name}<Icon name="down" /></Button>}>
      <Choice label={t("shell.organization")} value={String(organization ?? 0)} options={options} choose={(id) => choose(Number(id) || null)} />
    </Menu>
  );
}

function Account() {
  const { who, signOut } = useSession();
  const navigate = useNavigate();
  const name = who.name || who.email || "";
  const themes = THEMES.map((theme): [string, string] => [theme, t(`theme.${theme}`)]);
  const speakAnew = (language: string) => {
    localStorage.setItem("language", language);
    location.reload();
  };
  return (
    <Menu trigger={<Button look="quiet" aria-label={t("shell.account_of", { name })}><Icon name="user" /><span className="account-name">{name}</span></Button>}>
      <Items items={[{ text: t("settings.title"), act: () => void navigate({ to: "/settings" }) }]} />
      <hr />
      <Choice label={t("shell.theme")} value={chosenTheme()} options={themes} choose={(theme) => chooseTheme(theme as Theme)} />
      <hr />
      <Choice label={t("shell.language")} value={chosenLanguage()} options={Object.entries(LANGUAGES) as [Language, string][]} choose={speakAnew} />
      <hr />
      <Items items={[{ text: t("shell.sign_out"), act: () => void signOut() }]} />
    </Menu>
  );
}
