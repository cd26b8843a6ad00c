// All that happened between the organization and one person, down to each server's answer.
import { Link } from "@tanstack/react-router";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { toDate } from "../../lib/time";
import { Badge, Card, When } from "../../parts/basic";
import { Filters, useFilters } from "../../parts/filters";
import { Empty, Shown } from "../../parts/state";
import { Sheet } from "../../parts/sheet";
import { eventLine, Timeline } from "../../parts/story";
import { StateBadge } from "../../parts/words";

const PAGES_MAX = 200;
const DAYS_USUAL = 90;
const SPANS = ["30", "366"];

const iso = (at: number) => toDate(at).toISOString();

/** A line for each thing that happened to each mail, of all pages. */
async function sheetOf(id: number, days: number | undefined): Promise<string[][]> {
  const rows = [[t("messages.subject"), t("messages.sender"), t("messages.accepted"), t("messages.state"), t("audit.when"), t("story.event"), t("messages.answer")]];
  let cursor: number | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { mails, next } = await got(client.GET("/v1/contacts/{id}/story", { params: { path: { id }, query: { cursor, days } } }));
    for (const mail of mails) rows.push(...linesOf(mail));
    if (next == null) break;
    cursor = next;
  }
  return rows;
}

function linesOf(mail: Schemas["StoryMail"]): string[][] {
  const own = [mail.subject, mail.sender, iso(mail.accepted_at), mail.state];
  if (mail.events.length === 0) return [[...own, "", "", mail.text]];
  return mail.events.map((event) => [...own, iso(event.at), event.kind, eventLine((event.fields ?? {}) as Record<string, unknown>)]);
}

export function Story({ id }: { id: number }) {
  const { may } = useSession();
  const { values } = useFilters();
  const cursor = values.cursor === undefined ? undefined : Number(values.cursor);
  const { cursor: _, ...first } = values;
  const days = SPANS.includes(values.days ?? "") ? Number(values.days) : undefined;
  const story = api.useQuery("get", "/v1/contacts/{id}/story", { params: { path: { id }, query: { cursor, days } } });
  return (
    <Shown of={story}>
      {({ mails, runs, next }) => (
        <>
          {runs.length > 0 && (
            <Card title={t("automations.title")}>
              <ul className="steps">{runs.map((run) => <li key={run.id}><Badge tone={run.state === "waiting" ? "info" : "plain"}>{word("run_state", run.state)}</Badge><span className="text">{t("automations.at_step", { n: run.step + 1 })} {run.reason ? word("run_end", run.reason) : ""}</span><When at={run.started_at} /></li>)}</ul>
            </Card>
          )}
          <Card title={t("story.mails")} actions={mails.length > 0 && <Sheet name={`contact-${id}-story`} title={t("story.mails")} rows={() => sheetOf(id, days)} />}>
            <Filters filters={[{ name: "days", label: t("story.span"), kind: "select", all: t("growth.days", { n: DAYS_USUAL }), options: SPANS.map((span) => [span, t("growth.days", { n: Number(span) })]) }]} />
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
              {cursor !== undefined && <Link to="." search={first} className="button small">{t("list.first")}</Link>}
              {next != null && <Link to="." search={{ ...values, cursor: String(next) }} className="button small">{t("list.next")}</Link>}
            </div>
          </Card>
        </>
      )}
    </Shown>
  );
}
