// The keys by which encrypted fields are sealed: which is the newest, and its turn to be followed.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { t } from "../../lib/text";
import { Button, Card, Notice, Pairs, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { explain, Shown } from "../../parts/state";
import { tell } from "../../parts/toast";

interface Round {
  resealed: number;
  lost: number;
  is: "running" | "done" | "broken";
  why?: string;
}

/** Calls of one round; each takes 2,000 contacts. */
const CALLS_MAX = 100_000;

/** Every organization's values by the newest key. What has it already is passed over, so that a
 * round which broke off is simply begun again. */
async function sealAll(report: (round: Round) => void): Promise<Round> {
  const round: Round = { resealed: 0, lost: 0, is: "running" };
  const { items } = await got(client.GET("/v1/organizations"));
  let calls = 0;
  for (const { id: organization } of items) {
    let cursor: number | null | undefined;
    do {
      const part: Schemas["Resealed"] = await got(client.POST("/v1/sealing/reseal", { body: { organization, cursor } }));
      round.resealed += part.resealed;
      round.lost += part.lost;
      report({ ...round });
      cursor = part.next;
      calls += 1;
    } while (cursor != null && calls < CALLS_MAX);
  }
  return { ...round, is: "done" };
}

export function Keys() {
  const sealing = api.useQuery("get", "/v1/sealing");
  return <Card title={t("sealing.title")}><Shown of={sealing} rows={2}>{(data) => <Drawn sealing={data} />}</Shown></Card>;
}

function Drawn({ sealing }: { sealing: Schemas["Sealing"] }) {
  const [round, setRound] = useState<Round | null>(null);
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  if (sealing.newest == null) return <p className="faint">{t("sealing.none")}</p>;
  const seal = async () => {
    setRound({ resealed: 0, lost: 0, is: "running" });
    try {
      setRound(await sealAll(setRound));
    } catch (error) {
      setRound((before) => ({ resealed: before?.resealed ?? 0, lost: before?.lost ?? 0, is: "broken", why: explain(error) }));
    }
  };
  const rotate = async () => {
    const { newest } = await got(client.POST("/v1/sealing/rotate"));
    tell(t("sealing.rotated", { n: String(newest ?? "") }));
    await queryClient.invalidateQueries();
    void seal();
  };
  const busy = round?.is === "running";
  return (
    <div className="stack">
      <Pairs of={[[t("sealing.newest"), String(sealing.newest)], [t("sealing.since"), sealing.since == null ? null : <When key="s" at={sealing.since} />], [t("sealing.keys"), String(sealing.keys)]]} />
      <p className="faint">{t("sealing.text")}</p>
      <div className="row">
        <Button busy={busy} onClick={() => ask({ title: t("sealing.rotate"), text: t("sealing.rotate_text", { n: String(sealing.newest) }), button: t("sealing.rotate"), act: rotate })}>{t("sealing.rotate")}</Button>
        <Button look="quiet" busy={busy} onClick={() => void seal()}>{t("sealing.again")}</Button>
      </div>
      <div role="status">{round && <Progress round={round} />}</div>
      {question}
    </div>
  );
}

function Progress({ round }: { round: Round }) {
  const { resealed: n, lost } = round;
  return (
    <Notice tone={round.is === "broken" ? "bad" : lost > 0 ? "warn" : round.is === "done" ? "good" : "info"}>
      <p>{round.is === "running" ? t("sealing.running", { n }) : round.is === "done" ? t("sealing.done", { n }) : t("sealing.broken", { n, why: round.why ?? "" })}</p>
      {lost > 0 && <p>{t("sealing.lost", { n: lost })}</p>}
    </Notice>
  );
}
