// When mail will be sent: what waits now, and a mailing that is only thought of.
import { useState } from "react";
import { api, client, got, Refused, type Schemas } from "../../api/client";
import { t } from "../../lib/text";
import { moment } from "../../lib/time";
import { Badge, Card, Notice, Pairs, When } from "../../parts/basic";
import { type Field, Form, given, lines, type Values } from "../../parts/form";
import { Shown } from "../../parts/state";
import { operatorName } from "../../parts/words";

type Answer = Schemas["ForecastView"];

export function Forecast() {
  const forecast = api.useQuery("get", "/v1/forecast", {}, { refetchInterval: 30_000, retry: false });
  return (
    <div className="grid wide">
      <Card title={t("forecast.waiting")}><Shown of={forecast}>{(data) => <Drawn answer={data} />}</Shown></Card>
      <Card title={t("forecast.wizard")}><Wizard /></Card>
    </div>
  );
}

function Drawn({ answer }: { answer: Answer }) {
  const end = (at: number | null | undefined) => (at == null ? t("forecast.never") : moment(at));
  if (answer.operators.length === 0) return <Notice tone="good">{t("queue.nothing")}</Notice>;
  return (
    <div className="stack">
      <Pairs of={[
        [t("forecast.ends"), end(answer.ends_at)],
        [t("forecast.bottleneck"), answer.bottleneck],
        [t("forecast.one_more"), answer.ends_at_with_one_more == null ? null : moment(answer.ends_at_with_one_more)],
      ]} />
      <ul className="steps">
        {answer.operators.map((one) => <li key={one.operator}><strong>{operatorName(one.operator)}</strong><span className="text">{t("forecast.recipients", { n: one.recipients })}{one.bottleneck ? ` · ${one.bottleneck}` : ""}</span>{one.ends_at == null ? <Badge tone="bad">{t("forecast.never")}</Badge> : <When at={one.ends_at} />}</li>)}
      </ul>
    </div>
  );
}

/** `google 200000`, `google=200000` or `example.com: 5000`, one a line. */
export function countsOf(all: string[]): { operators: Record<string, number>; domains: Record<string, number> } {
  const counts = { operators: {} as Record<string, number>, domains: {} as Record<string, number> };
  for (const line of all) {
    const [name, number] = line.split(/[\s=:]+(?=[\d.,]+$)/);
    const count = Number((number ?? "").replace(/[.,]/g, ""));
    if (!name || !Number.isInteger(count) || count <= 0) throw new Refused({ status: 422, field: "audience", detail: t("forecast.no_count", { line }) });
    const of = name.includes(".") ? counts.domains : counts.operators;
    of[name] = (of[name] ?? 0) + count;
  }
  return counts;
}

function Wizard() {
  const [answer, setAnswer] = useState<Answer | null>(null);
  const pools = api.useQuery("get", "/v1/pools");
  const fields: Field[] = [
    { name: "audience", label: t("forecast.audience"), kind: "lines", required: true, placeholder: "google 200000\nmicrosoft_consumer 80000\nexample.com 5000", hint: t("forecast.audience_hint") },
    { name: "pool", label: t("sources.pool"), kind: "select", options: [["", t("forecast.all_sources")], ...(pools.data?.items ?? []).map((one): [string, string] => [one.name, one.name])] },
  ];
  const ask = async (values: Values) => {
    setAnswer(null);
    setAnswer(await got(client.POST("/v1/forecast", { body: { ...countsOf(lines(values, "audience")), pool: given(values, "pool") } })));
  };
  return (
    <div className="stack">
      <p className="faint">{t("forecast.wizard_text")}</p>
      <Form key={pools.data?.items.length ?? 0} fields={fields} button={t("forecast.ask")} submit={ask} />
      {answer && <div aria-live="polite"><Drawn answer={answer} /></div>}
    </div>
  );
}
