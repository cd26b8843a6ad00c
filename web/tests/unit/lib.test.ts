import { expect, test } from "vitest";
import { csv } from "../../src/lib/csv";
import { decodeWords, read } from "../../src/lib/mime";
import { operators, subjects, textOf } from "../../src/lib/segment";

const mail = (text: string) => new TextEncoder().encode(text.replaceAll("\n", "\r\n"));

test("CSV quotes what must be quoted, and lets no spreadsheet run a cell", () => {
  expect(csv([["a,b", 'say "x"', "-5"], ["=1+1", "@x", "plain"]])).toBe('"a,b","say ""x""",-5\r\n\'=1+1,\'@x,plain\r\n');
});

test("the parts of a mail are found and decoded", () => {
  const letter = read(mail(`Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Content-Type: multipart/mixed; boundary="out"

--out
Content-Type: multipart/alternative; boundary=in

--in
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe =
joined
--in
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PHA+w6Q8L3A+
--in--
--out
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="a.pdf"
Content-Transfer-Encoding: base64

AAEC
--out--
`));
  expect(letter.headers[0]).toEqual(["Subject", "Grüße"]);
  expect(letter.text?.trim()).toBe("Grüße joined");
  expect(letter.html).toBe("<p>ä</p>");
  expect(letter.files).toEqual([{ kind: "application/pdf", name: "a.pdf", bytes: 3 }]);
});

test("a mail that is nested without end, cut off or no mail at all is read all the same", () => {
  const nested = Array.from({ length: 100 }, (_, depth) => `Content-Type: multipart/mixed; boundary=b${depth}\n\n--b${depth}\n`).join("");
  expect(read(mail(nested)).files).toEqual([]);
  expect(read(mail("Content-Type: text/plain\n\nplain")).text).toBe("plain");
  expect(read(new Uint8Array([0, 255, 13, 10])).headers).toEqual([]);
});

test("encoded words of several charsets are one text", () => {
  expect(decodeWords("=?iso-8859-1?Q?K=F6ln?= =?utf-8?B?IMO8?=")).toBe("Köln ü");
  expect(decodeWords("plain")).toBe("plain");
});

test("the rows of the builder become the text that the API reads", () => {
  const tests = [
    { what: "city", how: "=", value: 'New "York"', unit: "" },
    { what: "tag", how: "has not", value: "vip", unit: "" },
    { what: "created", how: "within last", value: "90", unit: "days" },
    { what: "name", how: "is empty", value: "", unit: "" },
    { what: "points", how: ">=", value: "5", unit: "" },
    { what: "city", how: "contains", value: "", unit: "" },
  ];
  expect(textOf({ join: "and", tests })).toBe('city = "New \\"York\\"" and not tag "vip" and created within last 90 days and name is empty and points >= 5');
});

test("a segment asks what became of a campaign's mail", () => {
  const row = (how: string) => ({ what: "campaign", how, value: "7", unit: "" });
  expect(textOf({ join: "and", tests: [row("is delivered"), row("is not opened")] })).toBe("campaign 7 is delivered and not campaign 7 is opened");
});

test("every kind of field has comparisons", () => {
  for (const kind of subjects([{ name: "x", kind: "birthday" }]).values()) expect(operators(kind).length).toBeGreaterThan(0);
});

test("of an encrypted field a segment asks whether it is one value, and nothing else", () => {
  const kind = subjects([{ name: "passport", kind: "number", encrypted: true }]).get("passport") ?? "text";
  expect(operators(kind)).toEqual(["=", "!=", "is empty", "is not empty"]);
});

test("a segment asks for the warmest tenth, and for how mail has fared", () => {
  const row = (what: string, how: string, value: string) => ({ what, how, value, unit: "days" });
  expect(textOf({ join: "and", tests: [row("score", "top", "10"), row("bounced", "not within last", "30"), row("status", "=", "active")] })).toBe('score top 10 and bounced not within last 30 days and status = "active"');
});
