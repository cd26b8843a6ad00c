// One domain: each record it needs, to be copied, beside what its name servers say.
import { useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { moment } from "../../lib/time";
import { Badge, Button, Card, Copy, Notice, PageHead, Pairs, type Tone } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { useCheck } from "./page";

type Record = Schemas["RecordCheck"];

const TONES: { [state in Record["state"]]: Tone } = { right: "good", missing: "bad", different: "warn", unknown: "plain" };

export function Page() {
  const { name } = useParams({ strict: false }) as { name: string };
  const { may } = useSession();
  const check = useCheck(name);
  const queryClient = useQueryClient();
  const [ask, question] = useQuestion();
  const newKeys = async () => {
    await got(client.POST("/v1/dkim", { body: { domain: name } }));
    tell(t("domain.keys_made"));
    await queryClient.invalidateQueries();
  };
  return (
    <>
      <PageHead title={name} text={check.data ? t("domain.looked", { at: moment(check.data.at), servers: check.data.servers.map((name) => name.replace(/\.$/, "")).join(", ") }) : t("domain.text")}>
        <Button icon="refresh" busy={check.isFetching} onClick={() => void check.refetch()}>{t("domain.check")}</Button>
        {may("domains_write") && <Button onClick={() => ask({ title: t("domain.new_keys"), text: t("domain.new_keys_text"), button: t("domain.new_keys"), act: newKeys })}>{t("domain.new_keys")}</Button>}
      </PageHead>
      <Shown of={check}>
        {(data) => (
          <>
            <Notice tone={data.ready ? "good" : "warn"}>{data.ready ? t("domain.ready") : t("domain.not_ready")}</Notice>
            {data.records.map((record) => <RecordCard key={record.purpose + record.name + record.expected} record={record} />)}
          </>
        )}
      </Shown>
      {question}
    </>
  );
}

function RecordCard({ record }: { record: Record }) {
  const found = record.found.length > 0 && record.state !== "right";
  return (
    <Card title={word("purpose", record.purpose)} actions={<Badge tone={TONES[record.state]}>{word("record_state", record.state)}</Badge>}>
      <div className="stack tight">
        <Pairs of={[
          [t("domain.name"), <Copy key="n" text={record.name} />],
          [t("domain.type"), record.type],
          [t("domain.value"), <Copy key="v" text={record.expected} label={t("domain.value_of", { name: record.name })} />],
          [t("domain.found"), found ? <span key="f" className="stack tight">{record.found.map((one) => <code key={one} className="break">{one}</code>)}</span> : null],
        ]} />
        {record.note && <p className="faint">{record.note}</p>}
      </div>
    </Card>
  );
}
