// What is worked out of a campaign's report.
import { expect, test } from "vitest";
import { byOperator, type Report, shade, stretches, totals } from "../../src/lib/report";
import { roundTop } from "../../src/parts/series";

const HOUR = 3_600_000_000;
const hour = (at: number, delivered: number) => ({ begins_at: at * HOUR, delivered, deferred: 0, failed: 0, opens: 0, clicks: 0, unsubscribed: 0, complained: 0 });

const REPORT = {
  variants: [{ variant: 0, delivered: 5, opened: 3, clicked: 1, unsubscribed: 0, complained: 0 }, { variant: 1, delivered: 4, opened: 1, clicked: 0, unsubscribed: 1, complained: 0 }],
  bounced: [{ kind: "failed", class: "mailbox_invalid", operator: "google", source: "a", count: 2 }],
  delivered: [{ operator: "google", source: "a", count: 8 }, { operator: null, source: "a", count: 1 }],
} as unknown as Report;

test("hours without anything have a place of their own, so that time is drawn true", () => {
  const drawn = stretches([hour(1_000, 2), hour(1_003, 4)]);
  expect(drawn.map((one) => [one.at / HOUR, one.counts.delivered])).toEqual([[1_000, 2], [1_001, 0], [1_002, 0], [1_003, 4]]);
  expect(stretches([])).toEqual([]);
});

test("a long campaign is drawn by days, and nothing of it is lost", () => {
  const drawn = stretches(Array.from({ length: 200 }, (_, at) => hour(10_000 + at, 1)));
  expect(drawn.every((one) => one.isDay)).toBe(true);
  expect(drawn.length).toBeLessThan(12);
  expect(drawn.reduce((sum, one) => sum + one.counts.delivered, 0)).toBe(200);
});

test("totals add up variants, and operators have one row for each source", () => {
  expect(totals(REPORT)).toEqual({ delivered: 9, opened: 4, clicked: 1, unsubscribed: 1, complained: 0, bounced: 2 });
  expect(byOperator(REPORT)).toEqual([{ operator: "google", source: "a", delivered: 8, refused: 2 }, { operator: null, source: "a", delivered: 1, refused: 0 }]);
});

test("an axis ends at a number that a person would choose", () => {
  expect([1, 4, 7, 12, 41, 99, 4_300].map(roundTop)).toEqual([4, 4, 10, 20, 50, 100, 5_000]);
});

test("a country with anything has a shade, the most has the darkest, and others can be told apart", () => {
  expect([0, 1, 40, 500, 1_000].map((count) => shade(count, 1_000))).toEqual([0, 1, 1, 4, 5]);
  expect(shade(0, 0)).toBe(0);
});
