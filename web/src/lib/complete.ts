// What the code editor offers while a template is written.

// As the daemon knows them.
const FILTERS = ["abs", "capitalize", "count", "date", "default", "escape", "first", "float", "int", "join", "last", "length", "link", "lower", "money", "number", "reverse", "round", "sort", "title", "trim", "unique", "upper", "urlencode"];
const STATEMENTS = ["if", "elif", "else", "endif", "for", "endfor", "set"];

/** Within `{{ … }}` and `{% … %}`: fields, behind `|` filters, at the beginning of `{%` statements. */
export function offered(before: string, names: string[]): { type: string; labels: string[] } | null {
  const inner = /\{([{%])([^}%]*)$/.exec(before);
  if (!inner) return null;
  const rest = (inner[2] ?? "").replace(/[\w.]*$/, "");
  if (/\|\s*$/.test(rest)) return { type: "function", labels: FILTERS };
  if (inner[1] === "%" && rest.trim() === "") return { type: "keyword", labels: STATEMENTS };
  return { type: "variable", labels: names };
}
