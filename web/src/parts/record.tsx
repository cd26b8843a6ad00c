// A DNS record as it should be, to be copied, beside what name servers say.
import type { Schemas } from "../api/client";
import { t, word } from "../lib/text";
import { Badge, Card, Copy, Pairs, type Tone } from "./basic";

type Record = Schemas["RecordCheck"];

export const RECORD_TONES: { [state in Record["state"]]: Tone } = { right: "good", missing: "bad", different: "warn", unknown: "plain" };

export function RecordCard({ record }: { record: Record }) {
  return (
    <Card title={word("purpose", record.purpose)} actions={<Badge tone={RECORD_TONES[record.state]}>{word("record_state", record.state)}</Badge>}>
      <RecordFacts record={record} />
    </Card>
  );
}

export function RecordFacts({ record }: { record: Record }) {
  const found = record.found.length > 0 && record.state !== "right";
  return (
    <div className="stack tight">
      <Pairs of={[
        [t("domain.name"), <Copy key="n" text={record.name} />],
        [t("domain.type"), record.type],
        [t("domain.value"), <Copy key="v" text={record.expected} label={t("domain.value_of", { name: record.name })} />],
        [t("domain.found"), found ? <span key="f" className="stack tight">{record.found.map((one) => <code key={one} className="break">{one}</code>)}</span> : null],
      ]} />
      {record.note && <p className="faint">{record.note}</p>}
    </div>
  );
}
