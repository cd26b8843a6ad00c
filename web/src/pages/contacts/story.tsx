// All that happened between the organization and one person, down to each server's answer.
import { Link } from "@tanstack/react-router";
import { api } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, Card, When } from "../../parts/basic";
import { useFilters } from "../../parts/filters";
import { Empty, Shown } from "../../parts/state";
import { Timeline } from "../../parts/story";
import { StateBadge } from "../../parts/words";

export function Story({ id }: { id: number }) {
  const { may } = useSession();
  const { values } = useFilters();
  const cursor = values.cursor === undefined ? undefined : Number(values.cursor);
  const story = api.useQuery("get", "/v1/contacts/{id}/story", { params: { path: { id }, query: { cursor } } });
  return (
    <Shown of={story}>
      {({ mails, runs, next }) => (
        <>
          {runs.length > 0 && (
            <Card title={t("automations.title")}>
              <ul className="steps">{runs.map((run) => <li key={run.id}><Badge tone={run.state === "waiting" ? "info" : "plain"}>{word("run_state", run.state)}</Badge><span className="text">{t("automations.at_step", { n: run.step + 1 })} {run.reason ? word("run_end", run.reason) : ""}</span><When at={run.started_at} /></li>)}</ul>
            </Card>
          )}
          <Card title={t("story.mails")}>
            {mails.length === 0 ? <Empty title={t("story.no_mails")} text={t("story.no_mails_text")} /> : (
              <ul className="steps">
                {mails.map((mail) => (
                  <li key={mail.delivery}>
                    <StateBadge state={mail.state} />
                    <details className="text">
                      <summary className="break">{mail.subject || t("messages.no_subject")}</summary>
                      <p className="faint break">{mail.sender} · {mail.text} {may("messages_read") && <Link to="/messages/$id" params={{ id: String(mail.message) }} search={{}}>{t("message.title")}</Link>}</p>
                      <Timeline events={mail.events} />
                    </details>
                    <When at={mail.accepted_at} />
                  </li>
                ))}
              </ul>
            )}
            <div className="row">
              {cursor !== undefined && <Link to="." search={{ view: values.view ?? "" }} className="button small">{t("list.first")}</Link>}
              {next != null && <Link to="." search={{ ...values, cursor: String(next) }} className="button small">{t("list.next")}</Link>}
            </div>
          </Card>
        </>
      )}
    </Shown>
  );
}
