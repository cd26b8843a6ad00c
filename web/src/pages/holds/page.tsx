// Rules by which mail waits until somebody has looked at it.
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { toDate } from "../../lib/time";
import { Badge, Notice, PageHead, When } from "../../parts/basic";
import { Concerned, waiting } from "../../parts/concerned";
import { useQuestion } from "../../parts/dialog";
import { type Field, given, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { Maker } from "../../parts/maker";
import { explain } from "../../parts/state";
import { tell } from "../../parts/toast";

type Rule = Schemas["HoldRule"];
type Input = Schemas["NewHoldRule"];

interface Known {
  streams: [string, string][];
  campaigns: [string, string][];
  credentials: [string, string][];
  organizations: [string, string][];
}

/** The names of what a rule may be about; what somebody may not see he names by number. */
function useKnown(): Known {
  const { may, organizations } = useSession();
  const names = (all: { id: number; name: string }[]) => all.map((one): [string, string] => [String(one.id), one.name]);
  const known = useQuery({
    queryKey: ["hold choices"],
    staleTime: 60_000,
    queryFn: async () => {
      const [streams, campaigns, credentials] = await Promise.all([
        may("settings_read") ? got(client.GET("/v1/streams")) : { items: [] },
        may("campaigns_read") ? got(client.GET("/v1/campaigns")) : { items: [] },
        may("credentials_read") ? got(client.GET("/v1/credentials")) : { items: [] },
      ]);
      return { streams: names(streams.items), campaigns: names(campaigns.items), credentials: names(credentials.items) };
    },
  });
  return { ...(known.data ?? { streams: [], campaigns: [], credentials: [] }), organizations: names(organizations) };
}

function named(known: [string, string][], id: number | null | undefined): string | undefined {
  return id == null ? undefined : (known.find(([own]) => own === String(id))?.[1] ?? String(id));
}

/** What a rule catches, in words. */
function caught(rule: Rule, known: Known): [string, string][] {
  const parts: [string, string | null | undefined][] = [
    [t("shell.organization"), named(known.organizations, rule.organization)],
    [t("credentials.stream"), named(known.streams, rule.stream)],
    [t("campaign.title"), named(known.campaigns, rule.campaign)],
    [t("rules.credential"), named(known.credentials, rule.credential)],
    [t("messages.tag"), rule.tag],
    [t("messages.sender"), rule.sender],
    [t("queue.domain"), rule.recipient_domain],
  ];
  return parts.filter((part): part is [string, string] => part[1] != null);
}

function inputOf(values: Values, organization: number | null): Input {
  const number = (name: string) => (given(values, name) === undefined ? undefined : Number(given(values, name)));
  return { organization: organization ?? undefined, tag: given(values, "tag"), sender: given(values, "sender"), recipient_domain: given(values, "recipient_domain"), campaign: number("campaign"), stream: number("stream"), credential: number("credential"), reason: given(values, "reason") ?? "" };
}

function fields(known: Known): Field[] {
  const choice = (name: string, label: string, options: [string, string][]): Field[] => (options.length === 0 ? [] : [{ name, label, kind: "select", options: [["", t("filter.all")], ...options] }]);
  return [
    { name: "sender", label: t("messages.sender"), hint: t("holds.address_hint") },
    { name: "recipient_domain", label: t("queue.domain"), placeholder: "example.com" },
    { name: "tag", label: t("messages.tag") },
    ...choice("stream", t("credentials.stream"), known.streams),
    ...choice("campaign", t("campaign.title"), known.campaigns),
    ...choice("credential", t("rules.credential"), known.credentials),
    { name: "reason", label: t("limits.reason"), required: true, hint: t("holds.reason_hint") },
  ];
}

function matchesOf({ organization, stream, campaign, credential, tag, sender, recipient_domain }: Rule): Schemas["HoldMatch"] {
  return { organization, stream, campaign, credential, tag, sender, recipient_domain };
}

export function Page() {
  const { may, organization } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const known = useKnown();
  const text = (rule: Rule) => caught(rule, known).map(([name, value]) => `${name}: ${value}`).join(" · ");
  const columns: Column<Rule>[] = [
    { title: t("rules.matches"), cell: (row) => <span className="row">{caught(row, known).map(([name, value]) => <span key={name} className="break"><span className="faint">{name}</span> <strong>{value}</strong></span>)}</span>, text },
    { title: t("limits.reason"), cell: (row) => <span className="break">{row.reason}</span>, text: (row) => row.reason },
    { title: t("credentials.made"), cell: (row) => <When at={row.created_at} />, text: (row) => toDate(row.created_at).toISOString() },
  ];
  const add = async (values: Values) => {
    await got(client.POST("/v1/hold-rules", { body: inputOf(values, organization) }));
  };
  const remove = async (id: number) => {
    await got(client.DELETE("/v1/hold-rules/{id}", { params: { path: { id } } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const steers = may("messages_steer");
  return (
    <>
      <PageHead title={t("holds.title")} text={t("holds.text")}>
        {steers && <Maker label={t("holds.add")} title={t("holds.add")} text={t("holds.add_text")} fields={fields(known)} button={t("holds.add")} done={t("act.saved")} submit={add}>{(values) => <Preview input={inputOf(values, organization)} />}</Maker>}
      </PageHead>
      <List whole name="hold-rules" label={t("holds.title")} load={() => got(client.GET("/v1/hold-rules"))} columns={columns} id={(row) => row.id} actions={steers ? (row) => [{ text: t("rules.remove"), danger: true, act: () => ask({ title: t("rules.remove"), text: <Concerned text={t("holds.remove_text", { what: text(row) })} of={["hold rule", row.id]} count={async () => t("organizations.resume_concerns", { n: await waiting(matchesOf(row)) })} />, button: t("rules.remove"), danger: true, act: () => remove(row.id) }) }] : undefined} empty={{ title: t("holds.empty"), text: t("holds.empty_text") }} />
      {question}
    </>
  );
}

const TYPING_MS = 350;

/** How much of what waits the rule would hold, while it is written. */
function Preview({ input }: { input: Input }) {
  const { reason: _, ...matches } = input;
  const text = JSON.stringify(matches);
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const preview = useQuery({
    queryKey: ["hold preview", settled],
    enabled: settled !== "{}",
    retry: false,
    placeholderData: keepPreviousData,
    queryFn: () => got(client.POST("/v1/hold-rules/preview", { body: { ...JSON.parse(settled), reason: "" } })),
  });
  if (settled === "{}") return <p className="faint">{t("holds.names_nothing")}</p>;
  if (preview.error) return <p className="faint">{explain(preview.error)}</p>;
  if (!preview.data) return null;
  const { count, recipients } = preview.data;
  return (
    <Notice tone={count > 0 ? "warn" : "info"}>
      <p><strong>{t("holds.would_hold", { n: count })}</strong></p>
      {recipients.length > 0 && <p className="row">{recipients.map((one) => <Badge key={one}><span className="break">{one}</span></Badge>)}{count > recipients.length && <span>…</span>}</p>}
    </Notice>
  );
}
