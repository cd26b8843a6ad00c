// What the form of a campaign holds, and the order that the API takes.
import { Refused, type Schemas } from "../../api/client";
import { dayName, ofInput, toInput } from "../../lib/time";
import { type Field, given, lines, many, type Values } from "../../parts/form";
import { t } from "../../lib/text";

type Input = Schemas["CampaignInput"];
type Row = Schemas["CampaignView"];

export interface Known {
  lists: Schemas["ListView"][];
  segments: Schemas["SavedSegmentRow"][];
  templates: Schemas["TemplateRow"][];
  domains: string[];
  streams: Pick<Schemas["StreamRow"], "id" | "name">[];
  media: Schemas["MediaView"][];
}

function minute(text: string): number {
  const [hours, minutes] = text.split(":").map(Number);
  return (hours ?? 0) * 60 + (minutes ?? 0);
}

function clock(minutes: number): string {
  return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
}

/** `launched`: what is fixed by the launch is not asked for again. */
export function fields(known: Known, row: Row | undefined, launched: boolean): Field[] {
  const settings = row?.settings;
  const window = settings?.window;
  const names = (all: { id: number; name: string }[]): [string, string][] => all.map((one) => [String(one.id), one.name]);
  const chosen = (ids: number[] | undefined) => (ids ?? []).map(String);
  const templates: [string, string][] = [...(row ? [["", t("campaign.as_written")] as [string, string]] : []), ...names(known.templates)];
  const domain = known.domains[0];
  const moment = (at: number | null | undefined) => (at ? toInput(at) : "");
  const audience: Field[] = launched ? [] : [
    { name: "lists", label: t("campaign.lists"), kind: "checks", options: names(known.lists), value: chosen(settings?.audience?.lists) },
    { name: "segments", label: t("campaign.segments"), kind: "checks", options: names(known.segments), value: chosen(settings?.audience?.segments) },
    { name: "exclude", label: t("campaign.exclude"), kind: "checks", options: [...names(known.lists).map(([id, name]): [string, string] => [`l${id}`, name]), ...names(known.segments).map(([id, name]): [string, string] => [`s${id}`, name])], value: [...chosen(settings?.audience?.exclude_lists).map((id) => `l${id}`), ...chosen(settings?.audience?.exclude_segments).map((id) => `s${id}`)] },
    ...spokenFields(settings?.audience),
    { name: "starts_at", label: t("campaign.starts_at"), kind: "moment", value: moment(settings?.starts_at), hint: t("campaign.starts_hint") },
    { name: "stream", label: t("credentials.stream"), kind: "select", options: [...new Set(known.streams.map((one) => one.name))].map((name) => [name, name]), value: known.streams.find((one) => one.id === row?.stream)?.name ?? "marketing" },
    { name: "local_time", label: t("campaign.local_time"), kind: "check", value: settings?.local_time != null, hint: t("campaign.local_hint", { zone: settings?.local_time ?? ownZone() }) },
    { name: "sunset_days", label: t("campaign.sunset"), kind: "number", min: 1, value: settings?.sunset_days?.toString() ?? "", hint: t("campaign.sunset_hint") },
    { name: "rest_days", label: t("campaign.rest"), kind: "number", min: 1, max: REST_DAYS_MAX, value: settings?.rest_days?.toString() ?? "", hint: t("campaign.rest_hint") },
    ...testFields(settings?.test),
  ];
  return [
    { name: "name", label: t("campaigns.name"), required: true, value: row?.name },
    { name: "from_name", label: t("campaign.from_name"), value: row?.content.from_name },
    { name: "from", label: t("compose.from"), kind: "email", required: true, value: row?.content.from ?? (domain ? `news@${domain}` : "") },
    { name: "reply_to", label: t("campaign.reply_to"), kind: "email", value: row?.content.reply_to ?? "" },
    { name: "template", label: t("template.title"), kind: "select", options: templates, required: row === undefined },
    { name: "subject", label: t("messages.subject"), hint: t("campaign.subject_hint"), value: row?.content.variants[0]?.subject },
    ...(launched ? [] : [{ name: "second", label: t("campaign.second"), kind: "lines", hint: t("campaign.second_hint", { n: VARIANTS_MAX - 1 }), value: row?.content.variants.slice(1).map((one) => one.subject).join("\n") } as Field]),
    ...audience,
    { name: "deadline", label: t("campaign.deadline"), kind: "moment", value: moment(settings?.deadline), hint: t("campaign.deadline_hint") },
    { name: "hours", label: t("campaign.hours"), value: window ? `${clock(window.from_minute)}-${clock(window.to_minute)}` : "", placeholder: "08:00-20:00", hint: t("campaign.hours_hint", { zone: window?.zone ?? ownZone() }) },
    { name: "days", label: t("campaign.days"), kind: "checks", options: WEEK.map((day) => [String(day), dayName(day)]), value: (window?.days ?? []).map(String), hint: t("campaign.days_hint"), shown: (values) => given(values, "hours") !== undefined },
    { name: "throttle", label: t("campaign.throttle"), kind: "number", min: 1, value: settings?.throttle ? String(Math.round((settings.throttle.messages * 3600) / settings.throttle.seconds)) : "" },
    ...attached(known, row),
    { name: "data", label: t("campaign.data"), kind: "code", short: true, value: dataText(row?.content.data), placeholder: '{"product": "Tea"}', hint: t("campaign.data_hint") },
    ...trackingFields(settings?.tracking),
    { name: "archive", label: t("campaign.archive"), kind: "check", value: settings?.archive ?? false, hint: t("campaign.archive_hint") },
  ];
}

const HOUR_SECONDS = 3600;
const VARIANTS_MAX = 10;
const REST_DAYS_MAX = 365;
/** Monday is 1. */
const WEEK = [1, 2, 3, 4, 5, 6, 7];

/** What is asked in the language of segments, and of whom. */
function spokenFields(audience: Schemas["Audience"] | undefined): Field[] {
  return [
    { name: "expression", label: t("campaign.expression"), kind: "code", short: true, value: audience?.expression ?? "", placeholder: 'city = "Berlin"', hint: t("campaign.expression_hint") },
    { name: "exclude_expression", label: t("campaign.exclude_expression"), kind: "code", short: true, value: audience?.exclude_expression ?? "" },
    { name: "unconfirmed", label: t("campaign.unconfirmed"), kind: "check", value: audience?.unconfirmed ?? false, hint: t("campaign.unconfirmed_hint") },
  ];
}

type Data = NonNullable<Input["data"]>;

function dataText(data: Data | undefined): string {
  return data === undefined || Object.keys(data).length === 0 ? "" : JSON.stringify(data, null, 2);
}

function dataOf(text: string | undefined): Data | undefined {
  if (text === undefined) return undefined;
  const wrong = () => new Refused({ status: 422, field: "data", detail: t("campaign.data_wrong") });
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw wrong();
  }
  if (typeof data !== "object" || data === null || Array.isArray(data)) throw wrong();
  return data as Data;
}

/** A variant's name: A is the first. */
export function letter(at: number): string {
  return String.fromCharCode(65 + at);
}

function testFields(test: Schemas["AbTest"] | null | undefined): Field[] {
  const isTest = (values: Values) => given(values, "second") !== undefined && given(values, "percent") !== undefined;
  return [
    { name: "percent", label: t("campaign.percent"), kind: "number", min: 1, value: test ? String(test.sample_percent) : "", hint: t("campaign.percent_hint"), shown: (values) => given(values, "second") !== undefined },
    { name: "decide_hours", label: t("campaign.decide"), kind: "number", step: "any", min: 0, value: test?.decide_after ? String(test.decide_after / HOUR_SECONDS) : "", hint: t("campaign.decide_hint"), shown: isTest },
    { name: "delivered_min", label: t("campaign.delivered_min"), kind: "number", min: 1, value: test?.delivered_min?.toString() ?? "", hint: t("campaign.delivered_min_hint"), shown: (values) => isTest(values) && given(values, "decide_hours") !== undefined },
    { name: "otherwise", label: t("campaign.otherwise"), kind: "select", options: [["", t("campaign.otherwise_person")], ...Array.from({ length: VARIANTS_MAX }, (_, at): [string, string] => [String(at), letter(at)])], value: test?.otherwise?.toString() ?? "", shown: (values) => isTest(values) && given(values, "decide_hours") !== undefined },
  ];
}

const TRACKED = ["opens", "clicks", "anonymous"] as const;

function trackingFields(tracking: Schemas["CampaignTracking"] | undefined): Field[] {
  const utm = tracking?.utm;
  const hasUtm = (values: Values) => given(values, "utm_source") !== undefined;
  return [
    { name: "tracking", label: t("campaign.tracking"), kind: "checks", options: [["opens", t("campaign.opens")], ["clicks", t("campaign.clicks")], ["anonymous", t("campaign.anonymous")]], value: tracking ? TRACKED.filter((one) => tracking[one]) : ["opens", "clicks"] },
    { name: "utm_source", label: "utm_source", value: utm?.source ?? "", placeholder: "newsletter", hint: t("campaign.utm_hint") },
    { name: "utm_medium", label: "utm_medium", value: utm?.medium ?? "", placeholder: "email", shown: hasUtm },
    { name: "utm_campaign", label: "utm_campaign", value: utm?.campaign ?? "", shown: hasUtm },
  ];
}

function trackingOf(values: Values): Schemas["CampaignTracking"] {
  const [opens, clicks, anonymous] = TRACKED.map((one) => many(values, "tracking").includes(one));
  const source = given(values, "utm_source");
  return { opens, clicks, anonymous, utm: source === undefined ? null : { source, medium: given(values, "utm_medium"), campaign: given(values, "utm_campaign") } };
}

function testOf(values: Values, before: Schemas["AbTest"] | null | undefined): Schemas["AbTest"] | undefined {
  const percent = given(values, "percent");
  if (given(values, "second") === undefined || percent === undefined) return undefined;
  const hours = given(values, "decide_hours");
  const otherwise = hours === undefined ? undefined : given(values, "otherwise");
  const least = given(values, "delivered_min");
  return { ...before, ...(least === undefined ? {} : { delivered_min: Number(least) }), sample_percent: Number(percent), decide_after: hours === undefined ? null : Math.round(Number(hours) * HOUR_SECONDS), otherwise: otherwise === undefined ? null : Number(otherwise) };
}

/** Files that the mail carries; none is asked for where there are none. */
function attached(known: Known, row: Row | undefined): Field[] {
  const chosen = (row?.content.attachments ?? []).map(String);
  const listed = known.media.map((one): [string, string] => [String(one.id), one.name]);
  const others = chosen.filter((id) => !listed.some(([own]) => own === id)).map((id): [string, string] => [id, t("campaign.file", { id })]);
  if (listed.length + others.length === 0) return [];
  return [{ name: "attachments", label: t("message.files"), kind: "checks", options: [...others, ...listed], value: chosen }];
}

export function ownZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function windowOf(values: Values, before: Schemas["SendingWindow"] | null | undefined): Schemas["SendingWindow"] | undefined {
  const [from, to] = (given(values, "hours") ?? "").split("-");
  if (!from || !to) return undefined;
  return { from_minute: minute(from), to_minute: minute(to), zone: before?.zone ?? ownZone(), days: many(values, "days").map(Number) };
}

/** The hours and days in which a campaign is sent, in words. */
export function sayWindow(window: Schemas["SendingWindow"]): string {
  const days = (window.days ?? []).map(dayName).join(", ");
  return [`${clock(window.from_minute)}–${clock(window.to_minute)}`, window.zone, days].filter(Boolean).join(" · ");
}

/** What the form does not show stays as it is. */
function kept(written: Row["content"]["variants"][number] | undefined): Schemas["VariantInput"] {
  return { subject: written?.subject, kind: written?.kind, body: written?.body, text: written?.text, layout: written?.layout, translations: written?.translations };
}

/** A variant as it is written already, or a template of which it is made. */
function variant(values: Values, row: Row | undefined, at: number, subject: string | undefined): Schemas["VariantInput"] {
  const template = given(values, "template");
  if (template) return { template: Number(template), subject };
  const written = row?.content.variants[at] ?? row?.content.variants[0];
  return { ...kept(written), subject: subject ?? written?.subject };
}

function audienceOf(values: Values): Schemas["Audience"] {
  const numbers = (name: string) => many(values, name).map(Number);
  const excluded = (mark: string) => many(values, "exclude").filter((one) => one.startsWith(mark)).map((one) => Number(one.slice(1)));
  return {
    lists: numbers("lists"), segments: numbers("segments"), exclude_lists: excluded("l"), exclude_segments: excluded("s"),
    expression: given(values, "expression") ?? null, exclude_expression: given(values, "exclude_expression") ?? null, unconfirmed: values.unconfirmed === true,
  };
}

export function inputOf(values: Values, row: Row | undefined, launched: boolean): Input {
  const variants = [variant(values, row, 0, given(values, "subject"))];
  if (launched) variants.push(...(row?.content.variants.slice(1) ?? []).map(kept));
  else variants.push(...lines(values, "second").map((subject, at) => variant(values, row, at + 1, subject)));
  const at = (name: string) => ofInput(given(values, name) ?? "");
  const throttle = given(values, "throttle");
  const shared = {
    deadline: at("deadline"),
    window: windowOf(values, row?.settings.window),
    throttle: throttle ? { messages: Number(throttle), seconds: 3600 } : undefined,
    tracking: trackingOf(values),
    archive: values.archive === true,
  };
  const before = row?.settings;
  const days = (name: string) => (given(values, name) === undefined ? undefined : Number(given(values, name)));
  const settings = launched
    ? { ...before, ...shared }
    : { ...before, ...shared, local_time: values.local_time === true ? (before?.local_time ?? ownZone()) : undefined, sunset_days: days("sunset_days"), rest_days: days("rest_days"), starts_at: at("starts_at"), test: testOf(values, before?.test), audience: audienceOf(values) };
  return { name: given(values, "name") ?? "", from: given(values, "from") ?? "", from_name: given(values, "from_name") ?? "", reply_to: given(values, "reply_to"), attachments: many(values, "attachments").map(Number), data: dataOf(given(values, "data")), stream: launched ? undefined : given(values, "stream"), variants, settings };
}
