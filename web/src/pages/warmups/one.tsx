// One warm-up: planned against sent, what each day came to, and steering it.
import { useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { api, client, got, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { toDate } from "../../lib/time";
import { Badge, Button, Card, Notice, PageHead, Pairs, type Tone } from "../../parts/basic";
import { Chart, type Point } from "../../parts/chart";
import { useQuestion } from "../../parts/dialog";
import type { Column } from "../../parts/list";
import { Empty, Shown } from "../../parts/state";
import { Table } from "../../parts/table";
import { tell } from "../../parts/toast";
import { spoken } from "../../lib/text";
import { Gates } from "./gates";
import { useSubjects, WARMUP_TONES } from "./page";

type Story = Schemas["WarmupStory"];
type Day = Story["days"][number];

const VERDICTS: Record<string, Tone> = { advance: "good", hold: "warn", step_back: "bad", freeze: "bad" };
const COMING_DAYS = 14;

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  const story = api.useQuery("get", "/v1/warmups/{id}", { params: { path: { id: Number(id) } } }, { refetchInterval: 5_000 });
  return <Shown of={story}>{(data) => <Drawn story={data} />}</Shown>;
}

function dayName(at: number): string {
  return toDate(at).toLocaleDateString(spoken(), { day: "numeric", month: "short" });
}

export function points({ days, warmup }: Pick<Story, "days" | "warmup">): Point[] {
  const past = [...days].reverse().map((day) => ({ name: dayName(day.day), plan: day.volume, done: day.offered }));
  const coming = warmup.calendar.slice(0, COMING_DAYS).map((volume, at) => ({ name: at === 0 ? t("warmups.today") : `+${at}`, plan: volume, done: at === 0 ? warmup.offered_today : undefined }));
  return [...past, ...coming];
}

function Drawn({ story }: { story: Story }) {
  const name = useSubjects();
  const { warmup } = story;
  return (
    <>
      <PageHead title={`${name(warmup)} → ${warmup.operator}`} text={t("warmups.day_of", { day: warmup.day, days: warmup.days })}>
        <Badge tone={WARMUP_TONES[warmup.state]}>{word("warmup_state", warmup.state)}</Badge>
        <Steering story={story} />
      </PageHead>
      {warmup.note && <Notice tone="warn">{warmup.note}</Notice>}
      <Card title={t("warmups.chart")}><Chart points={points(story)} label={t("warmups.chart")} plan={t("warmups.planned")} done={t("warmups.sent")} /></Card>
      <div className="grid wide">
        <Card title={t("message.facts")}>
          <Pairs of={[
            [t("warmups.plan"), warmup.plan],
            [t("warmups.volume"), warmup.volume.toLocaleString()],
            [t("warmups.target"), warmup.target.toLocaleString()],
            [t("warmups.today"), `${warmup.offered_today.toLocaleString()} / ${warmup.budget?.toLocaleString() ?? "∞"}`],
            [t("warmups.accepted"), warmup.accepted_today.toLocaleString()],
            [t("warmups.send_days"), warmup.send_days],
          ]} />
        </Card>
        <Card title={t("gates.title")}><Gates story={story} /></Card>
      </div>
      <Days story={story} />
    </>
  );
}

function Days({ story: { days, warmup } }: { story: Story }) {
  const share = (title: string, of: (day: Day) => number): Column<Day> => ({
    title,
    cell: (day) => (day.offered === 0 ? "–" : (of(day) / day.offered).toLocaleString(spoken(), { style: "percent", maximumFractionDigits: 1 })),
    text: (day) => String(of(day)),
    number: true,
  });
  const columns: Column<Day>[] = [
    { title: t("warmups.day"), cell: (day) => dayName(day.day), text: (day) => toDate(day.day).toISOString().slice(0, 10) },
    { title: t("warmups.sent"), cell: (day) => `${day.offered.toLocaleString()} / ${day.volume.toLocaleString()}`, text: (day) => `${day.offered}/${day.volume}`, number: true },
    share(t("warmups.accepted"), (day) => day.accepted),
    share(t("warmups.blocked"), (day) => day.blocked),
    share(t("warmups.invalid"), (day) => day.invalid),
    share(t("warmups.complaints"), (day) => day.complaints),
    { title: t("warmups.verdict"), cell: (day) => <><Badge tone={VERDICTS[day.verdict]}>{word("warmup_verdict", day.verdict)}</Badge> <span className="sub">{day.cause}</span></>, text: (day) => `${day.verdict} ${day.cause}` },
  ];
  return <Table name={`warmup-${warmup.id}-days`} title={t("warmups.days")} rows={days} columns={columns} id={(day) => day.day} empty={<Empty title={t("warmups.no_days")} text={t("warmups.no_days_text")} />} />;
}

type Action = Schemas["WarmupAction"];

function Steering({ story }: { story: Story }) {
  const { warmup } = story;
  const queryClient = useQueryClient();
  const [ask, question] = useQuestion();
  const steer = async (action: Action, days?: number) => {
    await got(client.POST("/v1/warmups/{id}/steer", { params: { path: { id: warmup.id } }, body: { action, days } }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const button = (action: Action, days?: number, danger = false) => {
    const text = days === -1 ? t("warmups.back") : t(`warmups.${action}`);
    return <Button look={danger ? "danger" : undefined} onClick={() => ask({ title: text, text: days === -1 ? t("warmups.back_means") : t(`warmups.${action}_means`), button: text, danger, act: () => steer(action, days) })}>{text}</Button>;
  };
  const isOver = ["finished", "stopped"].includes(warmup.state);
  return (
    <>
      {warmup.state === "running" && button("pause")}
      {["paused", "frozen"].includes(warmup.state) && button("resume")}
      {!isOver && button("skip")}
      {!isOver && button("skip", -1)}
      {button("restart")}
      {!isOver && button("stop", undefined, true)}
      {question}
    </>
  );
}
