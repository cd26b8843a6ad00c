// What happened to a mail, one entry after another: events, attempts with whom they spoke and what
// was said, and when it is tried again.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { moment } from "../../lib/time";
import { Badge, Card, Pairs, When } from "../../parts/basic";
import { type Filter, Filters, useFilters } from "../../parts/filters";
import { Empty, Shown } from "../../parts/state";
import { eventDetails, eventLine } from "../../parts/story";
import { Talk } from "../../parts/talk";
import { EventBadge, operatorName, toneOfEvent } from "../../parts/words";

type Moment = Schemas["Moment"];
type Attempt = Schemas["AttemptView"];
type Message = Schemas["MessageView"];

export function MessageTimeline({ message }: { message: Message }) {
  const { values } = useFilters();
  const delivery = values.delivery === undefined ? undefined : Number(values.delivery);
  const cursor = values.cursor === undefined ? undefined : Number(values.cursor);
  const timeline = useQuery({
    queryKey: ["timeline", message.id, delivery, cursor],
    refetchInterval: 5_000,
    queryFn: () => got(client.GET("/v1/messages/{id}/timeline", { params: { path: { id: message.id }, query: { delivery, cursor } } })),
  });
  const several = message.deliveries.length > 1;
  const { cursor: _, ...first } = values;
  return (
    <Card title={t("message.story")} bare>
      {several && <Filters filters={[ofRecipient(message)]} />}
      <div className="body">
        <Shown of={timeline}>
          {({ items, next }) => (
            <>
              {items.length === 0 ? <Empty title={t("timeline.empty")} text={t("timeline.empty_text")} /> : (
                <ol className="story">
                  {items.map((one) => <Entry key={one.event} moment={one} several={several} />)}
                </ol>
              )}
              {(cursor !== undefined || next != null) && (
                <div className="row">
                  {cursor !== undefined && <Link to="." search={first} className="button small">{t("list.first")}</Link>}
                  {next != null && <Link to="." search={{ ...values, cursor: String(next) }} className="button small">{t("list.next")}</Link>}
                </div>
              )}
            </>
          )}
        </Shown>
      </div>
    </Card>
  );
}

function ofRecipient(message: Message): Filter {
  const options = message.deliveries.map((row): [string, string] => [String(row.id), row.recipient]);
  return { name: "delivery", label: t("messages.recipient"), kind: "select", options };
}

function Entry({ moment: one, several }: { moment: Moment; several: boolean }) {
  const { attempt, dialogue } = one;
  const fields = (one.fields ?? {}) as Record<string, unknown>;
  const facts = attempt ? factsOf(attempt) : eventDetails(fields);
  const said = attempt ? [attempt.code, attempt.reply ?? attempt.reason].filter((part) => part != null).join(" ") : eventLine(fields);
  const meaning = attempt && one.kind !== "delivered" ? attempt.class : null;
  return (
    <li className={toneOfEvent(one.kind)}>
      <div>
        <div className="row">
          <EventBadge kind={one.kind} />
          {attempt && <Badge>{t("timeline.try", { n: attempt.try })}</Badge>}
          {meaning != null && <Badge tone={toneOfEvent(one.kind)}>{word("reply_class", meaning)}</Badge>}
          {several && one.recipient && <strong className="break">{one.recipient}</strong>}
          <time className="faint" dateTime={new Date(one.at / 1000).toISOString()}>{moment(one.at)}</time>
        </div>
        {attempt && <p className="faint break">{way(attempt)}</p>}
        {said !== "" && <p className="break">{said}</p>}
        {attempt?.next != null && <p className="faint">{t("timeline.next")} <When at={attempt.next} /></p>}
        {facts.length > 0 && (
          <details>
            <summary className="faint">{t("story.details")}</summary>
            <Pairs of={facts} />
          </details>
        )}
        {dialogue && (
          <details>
            <summary className="faint">{t("timeline.said")}</summary>
            <Talk text={dialogue.lines.join("\n")} label={t("timeline.said")} />
          </details>
        )}
      </div>
    </li>
  );
}

/** From where to where, and how it was guarded on the way. */
function way(attempt: Attempt): string {
  const ends = [attempt.source, attempt.host ?? attempt.address].filter(Boolean).join(" → ");
  const spoke = attempt.address != null;
  const took = attempt.milliseconds == null ? null : t("timeline.took_ms", { n: attempt.milliseconds });
  return [ends, spoke ? (attempt.tls ?? t("timeline.clear")) : null, took].filter(Boolean).join(" · ");
}

function factsOf(attempt: Attempt): [string, string | null | undefined][] {
  const facts: [string, string | null | undefined][] = [
    [t("timeline.host"), [attempt.host, attempt.address && `[${attempt.address}]`].filter(Boolean).join(" ")],
    [t("progress.operator"), attempt.operator == null ? null : operatorName(attempt.operator)],
    [t("lanes.source"), [attempt.source, attempt.local_address && `[${attempt.local_address}]`].filter(Boolean).join(" ")],
    [t("timeline.tls"), attempt.address == null ? null : (attempt.tls ?? t("timeline.clear"))],
    [t("timeline.code"), attempt.enhanced],
    [t("classification.means"), attempt.class ? word("reply_class", attempt.class) : null],
    [t("delivery.blame"), attempt.blame ? word("blame_of", attempt.blame) : null],
    [t("timeline.took"), attempt.milliseconds == null ? null : t("timeline.took_ms", { n: attempt.milliseconds })],
  ];
  return facts.filter(([, value]) => value != null && value !== "");
}
