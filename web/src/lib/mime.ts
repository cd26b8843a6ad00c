// Enough of MIME to show what is in a mail: its parts, decoded. What is shown is shown as text, or
// as HTML in a frame that runs nothing.

export interface Part {
  kind: string;
  name?: string;
  text?: string;
  bytes: number;
}

export interface Letter {
  headers: [string, string][];
  html?: string;
  text?: string;
  files: Part[];
}

const DEPTH_MAX = 8;
const PARTS_MAX = 200;

/** Octets as a text in which each letter is one octet. */
function binary(octets: Uint8Array): string {
  return new TextDecoder("latin1").decode(octets);
}

function octets(text: string): Uint8Array {
  // windows-1252, which "latin1" stands for in a browser, is not one to one above 0x7f.
  const out = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) out[at] = LATIN.get(text.charCodeAt(at)) ?? text.charCodeAt(at) & 0xff;
  return out;
}

const LATIN = new Map(Array.from({ length: 32 }, (_, at) => [binary(Uint8Array.of(0x80 + at)).charCodeAt(0), 0x80 + at]));

function split(raw: string): [string, string] {
  const end = /\r?\n\r?\n/.exec(raw);
  return end ? [raw.slice(0, end.index), raw.slice(end.index + end[0].length)] : [raw, ""];
}

function fields(head: string): [string, string][] {
  const unfolded = head.replace(/\r?\n(?=[ \t])/g, "");
  return unfolded.split(/\r?\n/).flatMap((line) => {
    const colon = line.indexOf(":");
    return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1).trim()] as [string, string]] : [];
  });
}

function decodeCharset(data: Uint8Array, charset: string): string {
  try {
    return new TextDecoder(charset).decode(data);
  } catch {
    return new TextDecoder("utf-8").decode(data);
  }
}

function fromBase64(text: string): Uint8Array {
  const clean = text.replace(/[^A-Za-z0-9+/]/g, "");
  try {
    return Uint8Array.from(atob(clean.slice(0, clean.length - (clean.length % 4 === 1 ? 1 : 0))), (letter) => letter.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

function fromQuoted(text: string): Uint8Array {
  const joined = text.replace(/[ \t]+(?=\r?\n)/g, "").replace(/=\r?\n/g, "");
  const bare = joined.replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(0xe000 + Number.parseInt(hex, 16)));
  const out = octets(bare);
  for (let at = 0; at < bare.length; at += 1) {
    const code = bare.charCodeAt(at);
    if (code >= 0xe000 && code <= 0xe0ff) out[at] = code - 0xe000;
  }
  return out;
}

/** Encoded words of a header (RFC 2047). */
export function decodeWords(text: string): string {
  const word = /=\?([^?\s]+)\?([bq])\?([^?]*)\?=(\s+(?==\?))?/gi;
  const plain = text.replace(word, (_, charset: string, kind: string, data: string) => {
    const decoded = kind.toLowerCase() === "b" ? fromBase64(data) : fromQuoted(data.replaceAll("_", " "));
    return decodeCharset(decoded, charset.split("*")[0] ?? "utf-8");
  });
  // Raw UTF-8 (RFC 6532) stands in a text of octets.
  return /[\x80-\xff]/.test(plain) && plain === text ? decodeCharset(octets(plain), "utf-8") : plain;
}

function parameter(value: string, name: string): string | undefined {
  const found = new RegExp(`;\\s*${name}\\s*=\\s*(?:"([^"]*)"|([^;\\s]+))`, "i").exec(value);
  return found?.[1] ?? found?.[2];
}

interface Walk {
  letter: Letter;
  left: number;
}

function walk(raw: string, depth: number, into: Walk): void {
  if (depth > DEPTH_MAX || into.left <= 0) return;
  into.left -= 1;
  const [head, body] = split(raw);
  const all = fields(head);
  const header = (name: string) => all.find(([one]) => one.toLowerCase() === name)?.[1] ?? "";
  const type = header("content-type") || "text/plain";
  const kind = (type.split(";")[0] ?? "").trim().toLowerCase();
  const boundary = parameter(type, "boundary");
  if (kind.startsWith("multipart/") && boundary) {
    const parts = `\n${body}`.split(`\n--${boundary}`).slice(1);
    for (const part of parts) if (!part.startsWith("--")) walk(part.replace(/^[^\n]*\n/, "").replace(/\r$/, ""), depth + 1, into);
    return;
  }
  const coding = header("content-transfer-encoding").trim().toLowerCase();
  const data = coding === "base64" ? fromBase64(body) : coding === "quoted-printable" ? fromQuoted(body) : octets(body);
  const disposition = header("content-disposition");
  const name = parameter(disposition, "filename") ?? parameter(type, "name");
  const attached = disposition.toLowerCase().startsWith("attachment") || name !== undefined;
  const { letter } = into;
  if (attached || !["text/plain", "text/html"].includes(kind)) {
    letter.files.push({ kind, name: name && decodeWords(name), bytes: data.length });
    return;
  }
  const text = decodeCharset(data, parameter(type, "charset") ?? "utf-8");
  if (kind === "text/html") letter.html ??= text;
  else letter.text ??= text;
}

export function read(raw: Uint8Array): Letter {
  const text = binary(raw);
  const letter: Letter = { headers: fields(split(text)[0]).map(([name, value]) => [name, decodeWords(value)]), files: [] };
  walk(text, 0, { letter, left: PARTS_MAX });
  return letter;
}
