// Answers of hosts, each said once: they differ in ids, addresses and times.
export interface Said {
  text: string;
  at: number;
}

export interface Reply extends Said {
  count: number;
}

const SHOWN_MAX = 8;

/** What is the same in answers of one kind. */
function pattern(text: string): string {
  return text.toLowerCase().replace(/\S+@\S+/g, "@").replace(/[\w.+/=-]*\d[\w.+/=-]*/g, (word) => (/^[245]\d\d$|^[245]\.\d+\.\d+$/.test(word) ? word : "#"));
}

/** The last of each kind, newest first. */
export function distinct(said: Said[]): Reply[] {
  const found = new Map<string, Reply>();
  for (const one of [...said].sort((a, b) => b.at - a.at)) {
    if (one.text.trim() === "") continue;
    const key = pattern(one.text);
    const known = found.get(key);
    if (known) known.count += 1;
    else found.set(key, { ...one, count: 1 });
  }
  return [...found.values()].slice(0, SHOWN_MAX);
}
