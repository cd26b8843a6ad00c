// Waiting mail, grouped by what it waits for.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, Card, type Tone, When } from "../../parts/basic";
import { Empty, Shown } from "../../parts/state";

type Count = Schemas["ReasonCount"];

const TONES: Partial<Record<string, Tone>> = { host: "bad", held: "warn", limit: "warn", retry: "info" };

/** The reasons of the chosen organization, or of all of them together. */
export function useReasons(every?: number) {
  const { organization, organizations } = useSession();
  const about = organization === null ? organizations.map((one) => one.id) : [organization];
  return useQuery({
    queryKey: ["why", about],
    enabled: about.length > 0,
    refetchInterval: every,
    queryFn: async () => {
      const asked = about.map((id) => got(client.GET("/v1/why", { params: { query: { organization: id } } })));
      return merged((await Promise.all(asked)).flatMap((one) => one.reasons));
    },
  });
}

function merged(counts: Count[]): Count[] {
  const found = new Map<string, Count>();
  for (const { deliveries, reason } of counts) {
    const key = [reason.kind, reason.limit, reason.text, reason.source].join("|");
    found.set(key, { reason, deliveries: deliveries + (found.get(key)?.deliveries ?? 0) });
  }
  return [...found.values()].sort((a, b) => b.deliveries - a.deliveries);
}

export function Reasons() {
  const reasons = useReasons(5_000);
  return (
    <Card bare>
      <Shown of={reasons}>
        {(counts) => counts.length === 0 ? <Empty title={t("queue.nothing")} text={t("queue.nothing_text")} /> : <Table counts={counts} />}
      </Shown>
    </Card>
  );
}

function Table({ counts }: { counts: Count[] }) {
  return (
    // biome-ignore lint: what scrolls must be reachable by keyboard
    <div className="table-frame" tabIndex={0} role="group" aria-label={t("queue.why")}>
      <table className="as-cards">
        <thead>
          <tr>
            <th scope="col" className="number">{t("queue.count")}</th>
            <th scope="col">{t("queue.kind")}</th>
            <th scope="col">{t("queue.reason")}</th>
            <th scope="col">{t("queue.set_by")}</th>
            <th scope="col">{t("queue.until")}</th>
          </tr>
        </thead>
        <tbody>
          {counts.map(({ deliveries, reason }) => (
            <tr key={reason.kind + reason.text + reason.limit}>
              <td className="number" data-title={t("queue.count")}><strong>{deliveries.toLocaleString()}</strong></td>
              <td data-title={t("queue.kind")}><Badge tone={TONES[reason.kind]}>{word("reason_of", reason.kind)}</Badge></td>
              <td data-title={t("queue.reason")} className="break">
                {reason.text}
                {reason.kind === "held" && <> · <Link to="." search={{ view: "deliveries", state: "held" }}>{t("queue.show_held")}</Link></>}
                {reason.kind === "retry" && <> · <Link to="." search={{ view: "deliveries", state: "waiting" }}>{t("queue.show_waiting")}</Link></>}
              </td>
              <td data-title={t("queue.set_by")}>
                {reason.limit ? <Link to="/limits" search={{}}>{t("queue.limit", { id: reason.limit })}</Link> : ""} {reason.origin ? word("origin_of", reason.origin) : ""}
              </td>
              <td data-title={t("queue.until")}><When at={reason.until} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
