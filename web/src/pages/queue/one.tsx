// One delivery: its story, what was said in its last attempts, and why it is still here.
import { useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { moment } from "../../lib/time";
import { Badge, Button, Card, Notice, PageHead, Pairs, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { Empty, Shown } from "../../parts/state";
import { Timeline } from "../../parts/story";
import { Talk } from "../../parts/talk";
import { tell } from "../../parts/toast";
import { StateBadge } from "../../parts/words";

type Story = Schemas["Story"];
type Action = Exclude<Schemas["Action"], "reroute">;

export function Page() {
  const { id } = useParams({ strict: false }) as { id: string };
  const delivery = api.useQuery("get", "/v1/deliveries/{id}", { params: { path: { id: Number(id) } } }, { refetchInterval: 5_000 });
  return <Shown of={delivery}>{(data) => <Drawn story={data} />}</Shown>;
}

function Drawn({ story }: { story: Story }) {
  return (
    <>
      <PageHead title={<span className="break">{story.recipient}</span>} text={<Link to="/messages/$id" params={{ id: String(story.message) }}>{story.subject || t("messages.no_subject")}</Link>}>
        <StateBadge state={story.state} />
        <Actions story={story} />
      </PageHead>
      {["waiting", "held"].includes(story.state) && <Why id={story.id} />}
      <div className="grid wide">
        <Card title={t("message.story")}><Timeline events={story.events} /></Card>
        <div className="stack">
          <Card title={t("message.facts")}>
            <Pairs of={[
              [t("delivery.id"), story.id],
              [t("messages.sender"), story.sender || t("messages.null_sender")],
              [t("messages.answer"), story.text],
              [t("delivery.blame"), story.blame ? word("blame_of", story.blame) : null],
              [t("messages.tries"), story.tries],
              [t("queue.due"), story.state === "waiting" ? moment(story.due_at) : null],
              [t("message.expires"), moment(story.expires_at)],
            ]} />
          </Card>
          <Card title={t("delivery.dialogues")}>
            {story.dialogues.length === 0 ? <Empty title={t("delivery.no_dialogues")} text={t("delivery.no_dialogues_text")} /> : (
              <div className="stack">
                {story.dialogues.map((said) => (
                  <section key={said.at}>
                    <div className="row"><strong>{said.place}</strong><When at={said.at} /></div>
                    <Talk text={said.lines.join("\n")} label={said.place} />
                  </section>
                ))}
              </div>
            )}
          </Card>
        </div>
      </div>
    </>
  );
}

function Why({ id }: { id: number }) {
  const why = api.useQuery("get", "/v1/why", { params: { query: { delivery: id } } }, { refetchInterval: 5_000 });
  const reasons = why.data?.reasons ?? [];
  return reasons.map(({ reason }) => (
    <Notice key={reason.kind + reason.text} tone={reason.kind === "limit" || reason.kind === "held" ? "warn" : "info"} action={reason.until ? <When at={reason.until} /> : undefined}>
      <p><Badge>{word("reason_of", reason.kind)}</Badge> {reason.text}</p>
    </Notice>
  ));
}

function Actions({ story }: { story: Story }) {
  const { may } = useSession();
  const queryClient = useQueryClient();
  const [ask, question] = useQuestion();
  if (!may("messages_steer")) return null;
  const steer = async (action: Action) => {
    const { changed } = await got(client.POST("/v1/deliveries/steer", { body: { action, filter: { delivery: story.id } } }));
    tell(t("queue.steered", { n: changed }));
    await queryClient.invalidateQueries();
  };
  const resend = async () => {
    await got(client.POST("/v1/deliveries/{id}/resend", { params: { path: { id: story.id } } }));
    tell(t("delivery.resent"));
    await queryClient.invalidateQueries();
  };
  const button = (action: Action, danger = false) => (
    <Button look={danger ? "danger" : undefined} onClick={() => ask({ title: word("action_of", action), text: t(`queue.${action}_means`), button: word("action_of", action), danger, act: () => steer(action) })}>{word("action_of", action)}</Button>
  );
  return (
    <>
      {story.state === "waiting" && <>{button("retry")}{button("hold")}</>}
      {story.state === "held" && button("release")}
      {["waiting", "held"].includes(story.state) && button("cancel", true)}
      {["failed", "expired", "cancelled", "delivered", "suppressed"].includes(story.state) && (
        <Button onClick={() => ask({ title: t("delivery.resend"), text: t("delivery.resend_text", { address: story.recipient }), button: t("delivery.resend"), act: resend })}>{t("delivery.resend")}</Button>
      )}
      {question}
    </>
  );
}
