// Lines of an audience as a person writes them.
import { expect, test } from "vitest";
import { countsOf } from "../../src/pages/deliverability/forecast";

test("operators and domains are read with their numbers, however they are written", () => {
  expect(countsOf(["google 200000", "microsoft=80.000", "example.com: 5,000", "google: 1"])).toEqual({ operators: { google: 200_001, microsoft: 80_000 }, domains: { "example.com": 5_000 } });
});

test("a line without a number is named", () => {
  for (const line of ["google", "google many", "100", "google -5"]) expect(() => countsOf([line]), line).toThrow(line);
});
