// What happened to a mail, in the order in which it did, with what was said.
import type { Schemas } from "../api/client";
import { t } from "../lib/text";
import { moment } from "../lib/time";
import { EventBadge, toneOfEvent } from "./words";

type Event = Schemas["EventRow"];

/** The fields of an event that a person reads first, as one line. */
export function eventLine(fields: Record<string, unknown>): string {
  const of = (name: string) => (fields[name] === undefined || fields[name] === null ? "" : String(fields[name]));
  const reply = of("reply");
  // A reply mostly says its enhanced code itself.
  const enhanced = reply.startsWith(of("enhanced")) ? "" : of("enhanced");
  return [of("code"), enhanced, reply, of("reason"), of("text")].filter((text) => text !== "").join(" ");
}

export function eventDetails(fields: Record<string, unknown>): [string, string][] {
  const scalar = (value: unknown) => ["string", "number", "boolean"].includes(typeof value) && value !== "";
  return Object.entries(fields)
    .filter(([, value]) => scalar(value))
    .map(([name, value]) => [name.replaceAll("_", " "), String(value)]);
}

export function Timeline({ events }: { events: Event[] }) {
  return (
    <ol className="story">
      {events.map((event) => {
        const fields = (event.fields ?? {}) as Record<string, unknown>;
        return (
          <li key={event.id} className={toneOfEvent(event.kind)}>
            <div>
              <div className="row">
                <EventBadge kind={event.kind} />
                <time className="faint" dateTime={new Date(event.at / 1000).toISOString()}>{moment(event.at)}</time>
              </div>
              <p className="break">{eventLine(fields)}</p>
              {eventDetails(fields).length > 0 && (
                <details>
                  <summary className="faint">{t("story.details")}</summary>
                  <dl className="pairs">
                    {eventDetails(fields).map(([name, value]) => (
                      <div key={name} style={{ display: "contents" }}>
                        <dt>{name}</dt>
                        <dd>{value}</dd>
                      </div>
                    ))}
                  </dl>
                </details>
              )}
            </div>
          </li>
        );
      })}
    </ol>
  );
}
