// What happens now, and what needs a person, each with the button that helps.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { spoken, t, word } from "../../lib/text";
import { Badge, Card, PageHead, When } from "../../parts/basic";
import { Empty, Shown } from "../../parts/state";
import { EventBadge } from "../../parts/words";
import { useReasons } from "../queue/reasons";
import { Attention } from "./attention";
import { Checklist } from "./checklist";

export function Page() {
  const { may, organization, organizations } = useSession();
  const name = organizations.find((one) => one.id === organization)?.name;
  return (
    <>
      <PageHead title={t("home.title")} text={name} />
      <Checklist />
      <Attention />
      {may("messages_read") && (
        <>
          <Figures />
          <div className="grid wide">
            <Waiting />
            <Live />
          </div>
        </>
      )}
    </>
  );
}

/** States that mail leaves again: few rows, however long the log of mail is. */
const STATES: Schemas["State"][] = ["waiting", "leased", "held"];
const COUNTED: Schemas["EventKind"][] = ["accepted", "delivered", "deferred", "failed"];

function Figures() {
  const { organization } = useSession();
  const live = useLive();
  const counts = useQuery({
    queryKey: ["home counts", organization],
    refetchInterval: 10_000,
    queryFn: () => Promise.all(STATES.map(async (state) => {
      const query = { state } as never;
      return [state, (await got(client.GET("/v1/deliveries/count", { params: { query } }))).count] as const;
    })),
  });
  return (
    <Shown of={counts} rows={2}>
      {(all) => (
        <div className="figures">
          {all.map(([state, count]) => (
            <Link key={state} className="figure" to="/queue" search={{ view: "deliveries", state }}>
              <div className="name">{word("state_of", state)}</div>
              <div className="value">{count.toLocaleString()}</div>
            </Link>
          ))}
          {COUNTED.map((kind) => (
            <div key={kind} className="figure">
              <div className="name">{word("event_of", kind)}</div>
              <div className="value">{(live.data?.counts[kind] ?? 0).toLocaleString()}</div>
              {live.data && <div className="under">{t("home.since", { time: new Date(live.data.since).toLocaleTimeString(spoken(), { timeStyle: "short" }) })}</div>}
            </div>
          ))}
        </div>
      )}
    </Shown>
  );
}

function Waiting() {
  const reasons = useReasons(5_000);
  return (
    <Card title={t("home.waiting")} actions={<Link to="/queue" search={{}} className="button small">{t("home.to_queue")}</Link>}>
      <Shown of={reasons} rows={3}>
        {(counts) => counts.length === 0 ? <Empty title={t("queue.nothing")} text={t("queue.nothing_text")} /> : (
          <ul className="steps">
            {counts.slice(0, 8).map(({ deliveries, reason }) => (
              <li key={reason.kind + reason.text + reason.limit}>
                <strong>{deliveries.toLocaleString()}</strong>
                <span className="text break">{reason.text}</span>
                <Badge>{word("reason_of", reason.kind)}</Badge>
              </li>
            ))}
          </ul>
        )}
      </Shown>
    </Card>
  );
}

const SHOWN_EVENTS = 12;

interface Live {
  events: Schemas["EventView"][];
  cursor: string;
  /** Of what happened since the page was opened. */
  counts: Partial<Record<string, number>>;
  since: number;
}

/** The last events; each later question asks only for what came after. */
function useLive() {
  const { organization } = useSession();
  return useQuery({
    queryKey: ["home events", organization],
    refetchInterval: 3_000,
    staleTime: 0,
    structuralSharing: false,
    queryFn: async ({ client: kept, queryKey }): Promise<Live> => {
      const before = kept.getQueryData<Live>(queryKey);
      let cursor = before?.cursor ?? (await newest());
      let events = before?.events ?? [];
      const counts = { ...before?.counts };
      for (let page = 0; page < 5; page += 1) {
        const next = await got(client.GET("/v1/events", { params: { query: { cursor: Number(cursor), limit: 100 } } }));
        for (const event of before ? next.items : []) counts[event.kind] = (counts[event.kind] ?? 0) + 1;
        events = [...next.items.reverse(), ...events].slice(0, SHOWN_EVENTS);
        cursor = next.next;
        if (!next.more) break;
      }
      return { events, cursor, counts, since: before?.since ?? Date.now() };
    },
  });
}

/** Somewhat before the end: the ids of events grow with those of deliveries. */
async function newest(): Promise<string> {
  const last = await got(client.GET("/v1/messages", { params: { query: { limit: 1 } } }));
  const message = last.items[0]?.message;
  if (message === undefined) return "0";
  const story = await got(client.GET("/v1/messages/{id}", { params: { path: { id: message } } }));
  const first = story.events[0]?.id ?? 0;
  return String(Math.max(0, first - 50));
}

function Live() {
  const live = useLive();
  return (
    <Card title={t("home.live")}>
      <Shown of={live} rows={4}>
        {({ events }) => events.length === 0 ? <Empty title={t("home.quiet")} text={t("home.quiet_text")} /> : (
          <ul className="steps">
            {events.map((event) => {
              const fields = event.fields as Record<string, unknown>;
              return (
                <li key={event.id}>
                  <EventBadge kind={event.kind} />
                  <span className="text break">{event.message ? <Link to="/messages/$id" params={{ id: String(event.message) }}>{String(fields.reply ?? fields.reason ?? fields.host ?? t("home.message", { id: event.message }))}</Link> : ""}</span>
                  <When at={event.at} />
                </li>
              );
            })}
          </ul>
        )}
      </Shown>
    </Card>
  );
}
