import { expect, test } from "vitest";
import { distinct } from "../../src/lib/replies";

test("answers that differ in ids and addresses alone are one, the newest stands for them", () => {
  const said = [
    { at: 1, text: "550 5.1.1 <ann@a.test> no such user h4f2" },
    { at: 3, text: "550 5.1.1 <bob@a.test> no such user k9x1" },
    { at: 2, text: "421 4.7.0 try again later (id 12345)" },
    { at: 4, text: "452 4.2.2 mailbox full" },
    { at: 5, text: "" },
  ];
  expect(distinct(said).map((one) => [one.text.slice(0, 9), one.count, one.at])).toEqual([["452 4.2.2", 1, 4], ["550 5.1.1", 2, 3], ["421 4.7.0", 1, 2]]);
});

test("codes tell answers apart", () => {
  expect(distinct([{ at: 1, text: "450 4.2.0 wait" }, { at: 2, text: "451 4.2.0 wait" }])).toHaveLength(2);
});
