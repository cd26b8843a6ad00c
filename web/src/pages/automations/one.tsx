// One automation: its way with how many stand where, who is in it, and changing it.
import { useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { toDate } from "../../lib/time";
import { Badge, Button, Card, Notice, PageHead, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { asked, byWords, type Column, List } from "../../parts/list";
import { options } from "../../parts/words";
import { Shown } from "../../parts/state";
import { Tabs } from "../../parts/tabs";
import { tell } from "../../parts/toast";
import { Build } from "./build";
import { AUTOMATION_TONES, type Automation, underWay } from "./page";
import { sayEntry, saySpan } from "./words";

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  if (id === "new") return <><PageHead title={t("automations.add")} text={t("automations.fresh")} /><Build /></>;
  return <Existing id={Number(id)} />;
}

function Existing({ id }: { id: number }) {
  const automation = api.useQuery("get", "/v1/automations/{id}", { params: { path: { id } } }, { refetchInterval: 5_000 });
  return <Shown of={automation}>{(data) => <Drawn automation={data} />}</Shown>;
}

function Drawn({ automation }: { automation: Automation }) {
  const { may } = useSession();
  const tabs = [
    { name: "way", title: t("automations.way"), draw: () => <Way automation={automation} /> },
    { name: "people", title: t("automations.people"), draw: () => <Runs automation={automation} /> },
    ...(may("campaigns_write") && automation.state !== "ended" ? [{ name: "edit", title: t("campaign.edit"), draw: () => <Build key={automation.version} automation={automation} /> }] : []),
  ];
  return (
    <>
      <PageHead title={automation.name} text={t("automations.version", { n: automation.version })}>
        <Badge tone={AUTOMATION_TONES[automation.state]}>{word("automation_state", automation.state)}</Badge>
        {may("campaigns_write") && <Steering automation={automation} />}
      </PageHead>
      {automation.trouble && <Notice tone="bad">{automation.trouble}</Notice>}
      <Tabs label={t("automations.title")} tabs={tabs} />
    </>
  );
}

type Stepping = Schemas["AutomationStepping"];

const LAWFUL: Record<Automation["state"], Stepping[]> = { draft: ["activate"], active: ["pause", "end"], paused: ["activate", "end"], ended: [] };

function Steering({ automation }: { automation: Automation }) {
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const [ask, question] = useQuestion();
  const path = { params: { path: { id: automation.id } } };
  const step = async (asked: Stepping) => {
    await got(client.POST("/v1/automations/{id}/step", { ...path, body: { step: asked } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const remove = async () => {
    await got(client.DELETE("/v1/automations/{id}", path));
    await navigate({ to: "/automations", search: {} });
    await queryClient.invalidateQueries();
  };
  return (
    <>
      {LAWFUL[automation.state].map((asked) => <Button key={asked} look={asked === "activate" ? "main" : asked === "end" ? "danger" : undefined} onClick={() => ask({ title: t(`automations.${asked}`), text: t(`automations.${asked}_means`, { n: underWay(automation) }), button: t(`automations.${asked}`), danger: asked === "end", act: () => step(asked) })}>{t(`automations.${asked}`)}</Button>)}
      {automation.state === "draft" && <Button look="danger" onClick={() => ask({ title: t("automations.remove"), text: t("templates.remove_text", { name: automation.name }), button: t("automations.remove"), danger: true, act: remove })}>{t("automations.remove")}</Button>}
      {question}
    </>
  );
}

type Step = Automation["definition"]["steps"][number];

function Way({ automation }: { automation: Automation }) {
  const { definition, standing, done, version } = automation;
  const listName = useListName();
  const here = (at: number) => standing.filter((one) => one.version === version && one.step === at).reduce((sum, one) => sum + one.count, 0);
  const counts = (at: number) => done.filter((one) => one.version === version && one.step === at);
  const older = standing.filter((one) => one.version !== version).reduce((sum, one) => sum + one.count, 0);
  return (
    <>
      {older > 0 && <Notice>{t("automations.older", { n: older })}</Notice>}
      <Card>
        <ol className="story">
          <li className="good"><div><strong>{t("automations.entry")}</strong><p>{sayEntry(definition.entry, listName)}</p></div></li>
          {definition.steps.map((step, at) => (
            // biome-ignore lint: a step is known by its place
            <li key={at} className={here(at) > 0 ? "warn" : ""}>
              <div>
                <div className="row"><Badge tone="info">{word("automation_step", step.kind)}</Badge>{here(at) > 0 && <Badge tone="warn">{t("automations.stand_here", { n: here(at) })}</Badge>}</div>
                <p className="break"><SayStep step={step} /></p>
                <p className="faint">{counts(at).map((one) => `${word("step_done", one.did)}: ${one.count.toLocaleString()}`).join(" · ")}</p>
              </div>
            </li>
          ))}
        </ol>
      </Card>
    </>
  );
}

function SayStep({ step }: { step: Step }) {
  if (step.kind === "wait") return saySpan(step.seconds);
  if (step.kind === "send") return <>{step.content.variants[0]?.subject} · <Link to="/campaigns/$id/report" params={{ id: String(step.campaign) }} search={{}}>{t("report.title")}</Link></>;
  if (step.kind === "change") return <SayChange step={step} />;
  if (step.kind === "condition") return <><code>{step.expression}</code> {step.skip == null ? t("automations.else_go") : t("automations.else_skip", { n: step.skip })}</>;
  return t("automations.exit_means");
}

function SayChange({ step }: { step: Extract<Step, { kind: "change" }> }) {
  const name = useListName();
  const said = [
    [t("contacts.tags"), (step.tags ?? []).join(", ")],
    [t("contacts.subscribe"), (step.subscribe ?? []).map(name).join(", ")],
    [t("contact.unsubscribe"), (step.unsubscribe ?? []).map(name).join(", ")],
  ];
  return said.filter(([, what]) => what !== "").map(([how, what]) => `${how}: ${what}`).join(" · ");
}

/** Its number, while its name is not known. */
function useListName(): (list: number) => string {
  const lists = api.useQuery("get", "/v1/lists");
  return (list) => lists.data?.items.find((one) => one.id === list)?.name ?? String(list);
}

type Run = Schemas["RunRow"];

function Runs({ automation }: { automation: Automation }) {
  const { may } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const columns: Column<Run>[] = [
    { title: t("contacts.email"), cell: (row) => <Link to="/contacts/$id" params={{ id: String(row.contact) }} search={{}} className="break">{row.email ?? String(row.contact)}</Link>, text: (row) => row.email ?? String(row.contact) },
    { title: t("messages.state"), cell: (row) => <Badge tone={row.state === "waiting" ? "info" : "plain"}>{word("run_state", row.state)}</Badge>, text: (row) => row.state },
    { title: t("automations.step"), cell: (row) => row.step + 1, number: true },
    { title: t("automations.wakes"), cell: (row) => (row.state === "waiting" ? <When at={row.wake_at} /> : "–"), text: (row) => toDate(row.wake_at).toISOString() },
    { title: t("limits.reason"), cell: (row) => (row.reason ? word("run_end", row.reason) : "–"), text: (row) => row.reason ?? "" },
    { title: t("campaigns.begun"), cell: (row) => <When at={row.started_at} />, text: (row) => toDate(row.started_at).toISOString() },
  ];
  const path = { id: automation.id };
  const stop = async (run: number) => {
    await got(client.DELETE("/v1/automations/{id}/runs/{run}", { params: { path: { ...path, run } } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const actions = (row: Run) => (row.state !== "waiting" ? [] : [{ text: t("automations.let_go"), danger: true, act: () => ask({ title: t("automations.let_go"), text: t("automations.let_go_text", { email: row.email ?? "" }), button: t("automations.let_go"), danger: true, act: () => stop(row.id) }) }]);
  return (
    <>
      <List name={`automation-${automation.id}-people`} label={t("automations.people")} load={(search, cursor) => got(client.GET("/v1/automations/{id}/runs", { params: { path, query: { ...asked(search, cursor), state: search.state as Run["state"] | undefined } } }))} filters={[byWords(t("contacts.email")), { name: "state", label: t("messages.state"), kind: "select", options: options("run_state", ["waiting", "ended"]) }]} columns={columns} id={(row) => row.id} actions={may("campaigns_write") ? actions : undefined} every={10_000} empty={{ title: t("automations.nobody"), text: t("automations.nobody_text") }} />
      {question}
    </>
  );
}
