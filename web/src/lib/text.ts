// The texts of the panel: which language, how a number or a count stands in a sentence.
import { en } from "../texts/en";

export type Key = keyof typeof en;
export type Catalogue = Record<Key, string>;
export type Values = Record<string, string | number>;

export const LANGUAGES = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof LANGUAGES;

// What is asked for when it is chosen; English is always there.
const catalogues: Record<Exclude<Language, "en">, () => Promise<Catalogue>> = {
  de: () => import("../texts/de").then((module) => module.de),
};

let language: Language = "en";
let catalogue: Catalogue = en;

export function chosenLanguage(): Language {
  const kept = localStorage.getItem("language");
  if (kept !== null && kept in LANGUAGES) return kept as Language;
  const wanted = navigator.languages.map((name) => name.slice(0, 2));
  return (wanted.find((name) => name in LANGUAGES) as Language | undefined) ?? "en";
}

export async function speak(wanted: Language): Promise<void> {
  catalogue = wanted === "en" ? en : await catalogues[wanted]();
  language = wanted;
  document.documentElement.lang = wanted;
}

export function spoken(): Language {
  return language;
}

/** `{name}` stands for a value; `{n|one|many}` for a word that depends on a count. */
export function fill(text: string, values: Values, tongue: string): string {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g, (whole, name: string, one?: string, many?: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    const shown = typeof value === "number" ? value.toLocaleString(tongue) : value;
    if (one === undefined || many === undefined) return shown;
    const rule = new Intl.PluralRules(tongue).select(Number(value));
    return `${shown} ${rule === "one" ? one : many}`;
  });
}

export function t(key: Key, values: Values = {}): string {
  return fill(catalogue[key], values, language);
}

/** A word of the API (a state, a permission), if the catalogue has it; else the word itself. */
export function word(group: string, name: string): string {
  const key = `${group}.${name}`;
  return key in catalogue ? catalogue[key as Key] : name.replaceAll("_", " ");
}
