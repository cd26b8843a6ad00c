// The names by which the world finds this installation, and whether they lead here and back.
import { Link } from "@tanstack/react-router";
import { api, type Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { Badge, Button, Card, Copy, Notice } from "../../parts/basic";
import { RECORD_TONES, RecordFacts } from "../../parts/record";
import { Empty, Shown } from "../../parts/state";

type Name = Schemas["HostName"];
type Source = Schemas["SourceView"];

const namesOf = (source: Source) => source.health?.findings.find((finding) => finding.check === "names");

/** Its addresses and the name that it greets by lead to each other. */
export function isNamed(source: Source): boolean {
  return namesOf(source)?.verdict === "fine";
}

export function Hosts() {
  // Asks name servers, which takes a moment.
  const names = api.useQuery("get", "/v1/host-names", {}, { staleTime: 30_000, retry: false });
  return (
    <div className="stack">
      <Notice action={<Button small icon="refresh" busy={names.isFetching} onClick={() => void names.refetch()}>{t("domain.check")}</Button>}>{t("hosts.text")}</Notice>
      <Shown of={names} rows={4}>{({ items }) => <>{items.map((one) => <NameCard key={one.setting} name={one} />)}</>}</Shown>
      <Sources />
    </div>
  );
}

function NameCard({ name }: { name: Name }) {
  const { record } = name;
  const state = name.name == null ? <Badge>{t("hosts.unsaid")}</Badge> : <Badge tone={RECORD_TONES[record.state]}>{word("record_state", record.state)}</Badge>;
  return (
    <Card title={word("host_name", record.purpose)} actions={state}>
      <div className="stack tight">
        <p className="faint">{t(`host_text.${purposeOf(record.purpose)}`)}</p>
        {name.name == null || record.expected === "" ? <>{name.name != null && <Copy text={name.name} />}<p>{record.note}</p></> : <RecordFacts record={record} />}
        <p className="faint">{t("hosts.setting")} <code>{name.setting}</code></p>
      </div>
    </Card>
  );
}

type Purpose = "greeting" | "return_path" | "tracking";

function purposeOf(name: string): Purpose {
  return name === "greeting" || name === "return_path" ? name : "tracking";
}

function Sources() {
  const sources = api.useQuery("get", "/v1/sources");
  return (
    <Card title={t("hosts.sources")} actions={<Link to="/sources" search={{}} className="button small">{t("sources.title")}</Link>}>
      <Shown of={sources} rows={2}>
        {({ items }) => {
          const own = items.filter((one) => one.state === "active" && one.kind === "address");
          if (own.length === 0) return <Empty title={t("hosts.no_sources")} text={t("hosts.no_sources_text")} />;
          return <ul className="steps">{own.map((one) => <li key={one.name}><Badge tone={isNamed(one) ? "good" : "warn"}>{word("verdict", namesOf(one)?.verdict ?? "not_known")}</Badge><strong>{one.ehlo}</strong><span className="text break">{one.name}: {namesOf(one)?.text ?? t("hosts.not_checked")}</span></li>)}</ul>;
        }}
      </Shown>
    </Card>
  );
}
