// Waiting mail, grouped by what it waits for.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { toDate } from "../../lib/time";
import { Badge, type Tone, When } from "../../parts/basic";
import type { Column } from "../../parts/list";
import { Empty, Shown } from "../../parts/state";
import { Table } from "../../parts/table";

type Count = Schemas["ReasonCount"];

const TONES: Partial<Record<string, Tone>> = { host: "bad", held: "warn", limit: "warn", retry: "info" };

/** What the mail of organizations waits for. */
export async function reasonsOf(about: number[]): Promise<Count[]> {
  const asked = about.map((id) => got(client.GET("/v1/why", { params: { query: { organization: id } } })));
  return merged((await Promise.all(asked)).flatMap((one) => one.reasons));
}

/** The reasons of the chosen organization, or of all of them together. */
export function useReasons(every?: number) {
  const { organization, organizations } = useSession();
  const about = organization === null ? organizations.map((one) => one.id) : [organization];
  return useQuery({
    queryKey: ["why", about],
    enabled: about.length > 0,
    refetchInterval: every,
    queryFn: () => reasonsOf(about),
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
    <Shown of={reasons}>
      {(counts) => <Table name="queue-reasons" title={t("queue.why")} rows={counts} columns={columns()} id={({ reason }) => [reason.kind, reason.text, reason.limit].join("/")} empty={<Empty title={t("queue.nothing")} text={t("queue.nothing_text")} />} />}
    </Shown>
  );
}

function columns(): Column<Count>[] {
  return [
    { title: t("queue.count"), cell: ({ deliveries }) => <strong>{deliveries.toLocaleString()}</strong>, text: ({ deliveries }) => String(deliveries), number: true },
    { title: t("queue.kind"), cell: ({ reason }) => <Badge tone={TONES[reason.kind]}>{word("reason_of", reason.kind)}</Badge>, text: ({ reason }) => reason.kind },
    {
      title: t("queue.reason"),
      cell: ({ reason }) => (
        <span className="break">
          {reason.text}
          {reason.kind === "held" && <> · <Link to="." search={{ view: "deliveries", state: "held" }}>{t("queue.show_held")}</Link></>}
          {reason.kind === "retry" && <> · <Link to="." search={{ view: "deliveries", state: "waiting" }}>{t("queue.show_waiting")}</Link></>}
        </span>
      ),
      text: ({ reason }) => reason.text,
    },
    {
      title: t("queue.set_by"),
      cell: ({ reason }) => (reason.limit || reason.origin ? <>{reason.limit ? <Link to="/limits" search={{}}>{t("queue.limit", { id: reason.limit })}</Link> : ""} {reason.origin ? word("origin_of", reason.origin) : ""}</> : ""),
      text: ({ reason }) => [reason.limit, reason.origin].filter(Boolean).join(" "),
    },
    { title: t("queue.until"), cell: ({ reason }) => <When at={reason.until} />, text: ({ reason }) => (reason.until == null ? "" : toDate(reason.until).toISOString()) },
  ];
}
