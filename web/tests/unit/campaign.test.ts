// The form of a campaign and what it sends.
import { expect, test } from "vitest";
import type { Schemas } from "../../src/api/client";
import { fields, inputOf, type Known } from "../../src/pages/campaigns/input";
import type { Values } from "../../src/parts/form";

const KNOWN: Known = { lists: [], segments: [], templates: [], domains: ["shop.test"], streams: [{ id: 2, name: "marketing" }, { id: 7, name: "news" }], media: [] };

const SETTINGS: Schemas["CampaignSettings"] = {
  archive: true,
  audience: { lists: [1], segments: [], exclude_lists: [], exclude_segments: [], expression: "tag vip", exclude_expression: "campaign 2 is opened", unconfirmed: false },
  local_time: "Asia/Tokyo",
  sunset_days: 180,
  rest_days: 7,
  window: { from_minute: 480, to_minute: 1200, zone: "Europe/Berlin", days: [1, 5] },
  test: { sample_percent: 20, decide_after: 5_400, delivered_min: 50, otherwise: 1 },
  tracking: { opens: true, clicks: false, anonymous: true, utm: { source: "news", medium: "email", campaign: null } },
};

const ROW = {
  id: 3, name: "November", stream: 7, settings: SETTINGS, winner: null,
  content: { from: "news@shop.test", from_name: "", reply_to: null, attachments: [], data: { product: "Tea" }, variants: ["A", "B", "C"].map((subject) => ({ subject, kind: "html", body: "<p>", text: null })) },
} as unknown as Schemas["CampaignView"];

const untouched = (launched: boolean): Values => Object.fromEntries(fields({ ...KNOWN, lists: [{ id: 1, name: "News" } as never] }, ROW, launched).map((field) => [field.name, field.value ?? ""]));

test("a form that nobody changed sends back all that the campaign had", () => {
  const { settings, stream, data, variants } = inputOf(untouched(false), ROW, false);
  expect(data).toEqual({ product: "Tea" });
  expect(variants.map((one) => one.subject)).toEqual(["A", "B", "C"]);
  expect(stream).toBe("news");
  expect(JSON.parse(JSON.stringify(settings))).toEqual({ ...SETTINGS, tracking: { opens: true, clicks: false, anonymous: true, utm: { source: "news", medium: "email" } } });
});

test("what the launch has fixed is sent back as it was", () => {
  const { settings, stream } = inputOf(untouched(true), ROW, true);
  expect(stream).toBeUndefined();
  expect(settings).toMatchObject({ local_time: "Asia/Tokyo", sunset_days: 180, test: SETTINGS.test, audience: SETTINGS.audience });
});

test("a test that nobody decides in time waits for a person, unless a variant is named", () => {
  const values = { ...untouched(false), decide_hours: "", otherwise: "1" };
  expect(inputOf(values, ROW, false).settings?.test).toMatchObject({ sample_percent: 20, decide_after: null, otherwise: null, delivered_min: 50 });
});

test("days to rest, days of the week, whom to ask and data are sent as they are written", () => {
  const values = { ...untouched(false), rest_days: "3", days: ["6"], unconfirmed: true, expression: 'city = "Bonn"', data: '{"year": 2026}', delivered_min: "80" };
  const { settings, data } = inputOf(values, ROW, false);
  expect(settings).toMatchObject({ rest_days: 3, window: { days: [6] }, audience: { unconfirmed: true, expression: 'city = "Bonn"' }, test: { delivered_min: 80 } });
  expect(data).toEqual({ year: 2026 });
});

test("data that is no JSON object is refused at its field", () => {
  for (const wrong of ["{", "[1]", "7", "null"]) {
    expect(() => inputOf({ ...untouched(false), data: wrong }, ROW, false)).toThrow(expect.objectContaining({ problem: expect.objectContaining({ field: "data" }) }));
  }
});
