// When a campaign will be done, and where hosts have stopped it.
import { useQueryClient } from "@tanstack/react-query";
import { api, client, got } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { moment } from "../../lib/time";
import { Badge, Button, Card, Notice, Pairs, When } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { Shown } from "../../parts/state";
import { Talk } from "../../parts/talk";
import { tell } from "../../parts/toast";
import { operatorName } from "../../parts/words";

/** `before`: it is not launched yet, and everybody is counted anew, so it is asked less often. */
export function Outlook({ id, before }: { id: number; before?: boolean }) {
  const { may } = useSession();
  const queryClient = useQueryClient();
  const [ask, question] = useQuestion();
  const outlook = api.useQuery("get", "/v1/campaigns/{id}/outlook", { params: { path: { id } } }, { refetchInterval: before ? 60_000 : 10_000, staleTime: before ? 30_000 : undefined, retry: false });
  const goOn = async (operator: string) => {
    await got(client.POST("/v1/campaigns/{id}/go-on", { params: { path: { id } }, body: { operator } }));
    tell(t("organizations.resumed"));
    await queryClient.invalidateQueries();
  };
  // What is wrong with the audience stands among the checks.
  if (before && outlook.error) return null;
  return (
    <Shown of={outlook} rows={2}>
      {(data) => (
        <>
          {data.stops.map((stop) => (
            <Notice key={`${stop.operator} ${stop.host ?? ""}`} tone="bad" action={may("campaigns_write") && <Button small onClick={() => ask({ title: t("outlook.go_on"), text: t("outlook.go_on_means", { operator: operatorName(stop.operator) }), button: t("outlook.go_on"), act: () => goOn(stop.operator) })}>{t("outlook.go_on")}</Button>}>
              <p><strong>{t("outlook.stopped", { operator: stop.host ?? operatorName(stop.operator) })}</strong> {stop.cause}</p>
              {stop.until && <p className="faint">{t("outlook.until", { at: moment(stop.until) })}</p>}
              {stop.samples.length > 0 && <Talk text={stop.samples.join("\n")} label={t("reach.replies")} />}
            </Notice>
          ))}
          {data.remaining > 0 && (
            <Card title={before ? t("outlook.before") : t("outlook.title")}>
              <div className="stack">
                <Pairs of={[
                  [before ? t("campaigns.audience") : t("outlook.remaining"), data.remaining.toLocaleString()],
                  [t("forecast.ends"), data.ends_at == null ? t("forecast.never") : moment(data.ends_at)],
                  [t("forecast.bottleneck"), data.bottleneck],
                ]} />
                <ul className="steps">
                  {data.operators.map((one) => <li key={one.operator}><strong>{operatorName(one.operator)}</strong><span className="text">{t("forecast.recipients", { n: one.recipients })}{one.bottleneck ? ` · ${one.bottleneck}` : ""}</span>{one.ends_at == null ? <Badge tone="bad">{t("forecast.never")}</Badge> : <When at={one.ends_at} />}</li>)}
                </ul>
              </div>
            </Card>
          )}
          {question}
        </>
      )}
    </Shown>
  );
}
