// One campaign: written, looked at, launched, watched.
import { useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { moment } from "../../lib/time";
import { Badge, Button, Card, Notice, PageHead, Pairs } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { explain, Shown } from "../../parts/state";
import { Tabs } from "../../parts/tabs";
import { tell } from "../../parts/toast";
import { Again } from "./again";
import { Edit } from "./edit";
import { letter, sayWindow } from "./input";
import { Look } from "./look";
import { CAMPAIGN_TONES, type Campaign } from "./page";
import { Outlook } from "./outlook";
import { Progress } from "./progress";
import { Sums } from "./sums";

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  if (id === "new") return <Fresh />;
  return <Existing id={Number(id)} />;
}

function Fresh() {
  return (
    <>
      <PageHead title={t("campaigns.add")} text={t("campaign.fresh")} />
      <Edit />
    </>
  );
}

function Existing({ id }: { id: number }) {
  const campaign = api.useQuery("get", "/v1/campaigns/{id}", { params: { path: { id } } }, { refetchInterval: 2_000 });
  return <Shown of={campaign}>{(data) => <Drawn campaign={data} />}</Shown>;
}

export const BEFORE = ["draft", "scheduled"];
const OVER = ["cancelled", "sent"];

function Drawn({ campaign }: { campaign: Campaign }) {
  const { may } = useSession();
  const edits = may("campaigns_write") && !OVER.includes(campaign.state) && campaign.state !== "preparing";
  const tabs = [
    { name: "overview", title: t("campaign.overview"), draw: () => <Overview campaign={campaign} /> },
    ...(edits ? [{ name: "edit", title: t("campaign.edit"), draw: () => <Edit key={campaign.revision} campaign={campaign} /> }] : []),
    { name: "look", title: t("campaign.look"), draw: () => <Look campaign={campaign} /> },
  ];
  return (
    <>
      <PageHead title={campaign.name} text={campaign.content.variants[0]?.subject}>
        <Badge tone={CAMPAIGN_TONES[campaign.state]}>{word("campaign_state", campaign.state)}</Badge>
        {campaign.audience != null && <Link to="/campaigns/$id/report" params={{ id: String(campaign.id) }} search={{}} className="button">{t("report.title")}</Link>}
        {campaign.audience != null && <Link to="/campaigns/$id/recipients" params={{ id: String(campaign.id) }} search={{}} className="button">{t("recipients.title")}</Link>}
        {may("campaigns_write") && <Steps campaign={campaign} />}
      </PageHead>
      {campaign.trouble && <Notice tone="bad">{campaign.trouble}</Notice>}
      <Tabs label={t("campaign.title")} tabs={tabs} />
    </>
  );
}

function Overview({ campaign }: { campaign: Campaign }) {
  const { settings } = campaign;
  return (
    <>
      {BEFORE.includes(campaign.state) ? <><Checks id={campaign.id} /><Outlook id={campaign.id} before /></> : (
        <>
          <Card title={t("campaigns.progress")}><Sums sums={campaign.sums} /></Card>
          <Outlook id={campaign.id} />
          <Progress id={campaign.id} state={campaign.state} />
        </>
      )}
      {settings.test && campaign.winner === null && campaign.state === "sending" && <Winner campaign={campaign} />}
      <Card title={t("message.facts")}>
        <Pairs of={[
          [t("compose.from"), campaign.content.from_name ? `${campaign.content.from_name} <${campaign.content.from}>` : campaign.content.from],
          [t("campaigns.audience"), campaign.audience?.toLocaleString()],
          [t("campaign.starts_at"), settings.starts_at ? moment(settings.starts_at) : null],
          [t("campaigns.begun"), campaign.launched_at ? moment(campaign.launched_at) : null],
          [t("campaign.ended"), campaign.ended_at ? moment(campaign.ended_at) : null],
          [t("campaign.deadline"), settings.deadline ? moment(settings.deadline) : null],
          [t("campaign.throttle"), settings.throttle ? Math.round((settings.throttle.messages * 3600) / settings.throttle.seconds).toLocaleString() : null],
          [t("campaign.hours"), settings.window ? sayWindow(settings.window) : null],
          [t("campaign.local_time"), settings.local_time],
          [t("campaign.unconfirmed"), settings.audience?.unconfirmed ? t("campaign.unconfirmed_hint") : null],
          [t("campaign.expression"), settings.audience?.expression ? <code key="e" className="break">{settings.audience.expression}</code> : null],
          [t("campaign.exclude_expression"), settings.audience?.exclude_expression ? <code key="x" className="break">{settings.audience.exclude_expression}</code> : null],
          [t("campaign.sunset"), settings.sunset_days],
          [t("campaign.rest"), settings.rest_days],
          [t("campaign.variants"), campaign.content.variants.length > 1 ? campaign.content.variants.map((one) => one.subject).join(" · ") : null],
        ]} />
      </Card>
    </>
  );
}

function Checks({ id }: { id: number }) {
  const checks = api.useQuery("get", "/v1/campaigns/{id}/checks", { params: { path: { id } } }, { staleTime: 0 });
  return (
    <Card title={t("campaign.checks")}>
      <Shown of={checks} rows={2}>
        {(data) => (
          <div className="stack tight">
            <p><strong>{t("campaign.would_get", { n: data.audience })}</strong></p>
            {data.checks.map((check) => <Notice key={check.why} tone={check.weight === "wrong" ? "bad" : "warn"}><p><Badge tone={check.weight === "wrong" ? "bad" : "warn"}>{word("weight", check.weight)}</Badge> {check.why}</p></Notice>)}
            {data.checks.length === 0 && <Notice tone="good">{t("campaign.all_right")}</Notice>}
            <AskedLinks id={id} />
          </div>
        )}
      </Shown>
    </Card>
  );
}

/** Each link is asked when a person wants it: it may take a while, and others see the requests. */
function AskedLinks({ id }: { id: number }) {
  const [wanted, setWanted] = useState(false);
  const links = api.useQuery("get", "/v1/campaigns/{id}/links", { params: { path: { id } } }, { enabled: wanted, staleTime: Infinity });
  if (!wanted) return <div><Button onClick={() => setWanted(true)}>{t("campaign.ask_links")}</Button></div>;
  return (
    <Shown of={links} rows={2}>
      {(data) => {
        const dead = data.links.filter((one) => one.trouble);
        return (
          <>
            {dead.map((one) => <Notice key={one.link} tone="warn"><p className="break">{one.link}: {one.trouble}</p></Notice>)}
            <Notice tone={dead.length > 0 ? "plain" : "good"}>{t("campaign.links_asked", { n: data.links.length, dead: dead.length, left: data.left_out })}</Notice>
          </>
        );
      }}
    </Shown>
  );
}

function Winner({ campaign }: { campaign: Campaign }) {
  const queryClient = useQueryClient();
  const [ask, question] = useQuestion();
  const choose = async (variant: number) => {
    await got(client.POST("/v1/campaigns/{id}/winner", { params: { path: { id: campaign.id } }, body: { variant } }));
    await queryClient.invalidateQueries();
  };
  return (
    <Card title={t("campaign.winner")}>
      <div className="stack tight">
        <p>{t("campaign.winner_text")}</p>
        <div className="row">
          {campaign.content.variants.map((variant, at) => (
            // biome-ignore lint: a variant is known by its place
            <Button key={at} onClick={() => ask({ title: t("campaign.winner"), text: t("campaign.winner_ask", { subject: variant.subject }), button: t("campaign.choose"), act: () => choose(at) })}>{letter(at)}: {variant.subject}</Button>
          ))}
        </div>
      </div>
      {question}
    </Card>
  );
}

type Asking = Schemas["CampaignAsking"];

/** What may be asked of a campaign in each state. */
const LAWFUL: { [state in Campaign["state"]]: Asking[] } = { draft: ["launch", "schedule"], scheduled: ["launch", "unschedule", "cancel"], preparing: ["cancel"], sending: ["pause", "cancel"], paused: ["resume", "cancel"], cancelled: [], sent: [] };

function Steps({ campaign }: { campaign: Campaign }) {
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const [ask, question] = useQuestion();
  const [busy, setBusy] = useState(false);
  const path = { params: { path: { id: campaign.id } } };
  const step = async (asked: Asking) => {
    setBusy(true);
    try {
      await got(client.POST("/v1/campaigns/{id}/step", { ...path, body: { step: asked } }));
      tell(t(`campaign.${asked}_done`));
      await queryClient.invalidateQueries();
    } finally {
      setBusy(false);
    }
  };
  const copy = async () => {
    const made = await got(client.POST("/v1/campaigns/{id}/copy", path));
    tell(t("campaign.copied"));
    await queryClient.invalidateQueries();
    await navigate({ to: "/campaigns/$id", params: { id: String(made.id) }, search: { view: "edit" } });
  };
  const remove = async () => {
    await got(client.DELETE("/v1/campaigns/{id}", path));
    await navigate({ to: "/campaigns", search: {} });
    await queryClient.invalidateQueries();
  };
  const open = async (asked: Asking) => {
    const { planned, waiting, held } = campaign.sums;
    // Before the launch the audience is counted anew, so that the question says the true number.
    const n = asked === "launch" || asked === "schedule" ? (await got(client.GET("/v1/campaigns/{id}/checks", path))).audience : planned + waiting + held;
    const danger = asked === "cancel";
    ask({ title: t(`campaign.${asked}`), text: t(`campaign.${asked}_means`, { n }), button: t(`campaign.${asked}`), danger, act: () => step(asked) });
  };
  const steps = LAWFUL[campaign.state].filter((asked) => asked !== "schedule" || campaign.settings.starts_at);
  return (
    <>
      {steps.map((asked) => <Button key={asked} busy={busy} look={asked === "cancel" ? "danger" : asked === "launch" || asked === "resume" ? "main" : undefined} onClick={() => void open(asked)}>{t(`campaign.${asked}`)}</Button>)}
      <Button icon="copy" onClick={() => void copy().catch((error: unknown) => tell(explain(error), true))}>{t("campaign.copy")}</Button>
      <Again campaign={campaign} />
      {campaign.state === "draft" && <Button look="danger" onClick={() => ask({ title: t("campaign.remove"), text: t("campaign.remove_text", { name: campaign.name }), button: t("campaign.remove"), danger: true, act: remove })}>{t("campaign.remove")}</Button>}
      {question}
    </>
  );
}
