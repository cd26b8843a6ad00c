// One domain: each record it needs, to be copied, beside what its name servers say.
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { moment, toDate } from "../../lib/time";
import { Badge, Button, Card, Notice, PageHead, When } from "../../parts/basic";
import { Concerned, waiting } from "../../parts/concerned";
import { useQuestion } from "../../parts/dialog";
import type { Column } from "../../parts/list";
import { RecordCard } from "../../parts/record";
import { Empty, Shown } from "../../parts/state";
import { Table } from "../../parts/table";
import { tell } from "../../parts/toast";
import { TrackingForm } from "../../parts/tracking";
import { useCheck } from "./page";

export function Page() {
  const { name } = useParams({ strict: false }) as { name: string };
  const { may } = useSession();
  const check = useCheck(name);
  const queryClient = useQueryClient();
  const [ask, question] = useQuestion();
  const navigate = useNavigate();
  const newKeys = async () => {
    await got(client.POST("/v1/dkim", { body: { domain: name } }));
    tell(t("domain.keys_made"));
    await queryClient.invalidateQueries();
  };
  const concerned = async () => {
    const [keys, mails] = await Promise.all([got(client.GET("/v1/dkim")), waiting({ sender: name })]);
    return t("domain.remove_concerns", { keys: keys.items.filter((key) => key.domain === name).length, mails });
  };
  const remove = async () => {
    await got(client.DELETE("/v1/domains/{name}", { params: { path: { name } } }));
    tell(t("domain.removed"));
    await queryClient.invalidateQueries();
    await navigate({ to: "/domains", search: {} });
  };
  return (
    <>
      <PageHead title={name} text={check.data ? t("domain.looked", { at: moment(check.data.at), servers: check.data.servers.map((name) => name.replace(/\.$/, "")).join(", ") }) : t("domain.text")}>
        <Button icon="refresh" busy={check.isFetching} onClick={() => void check.refetch()}>{t("domain.check")}</Button>
        {may("domains_write") && <Button onClick={() => ask({ title: t("domain.new_keys"), text: t("domain.new_keys_text"), button: t("domain.new_keys"), act: newKeys })}>{t("domain.new_keys")}</Button>}
        {may("domains_write") && <Button look="danger" onClick={() => ask({ title: t("domain.remove"), text: <Concerned text={t("domain.remove_text", { name })} of={["domain", name]} count={concerned} />, button: t("domain.remove"), danger: true, act: remove })}>{t("domain.remove")}</Button>}
      </PageHead>
      <Shown of={check}>
        {(data) => (
          <>
            <Notice tone={data.ready ? "good" : "warn"}>{!data.ready ? t("domain.not_ready") : data.records.every((record) => record.state === "right") ? t("domain.ready") : t("domain.ready_enough")}</Notice>
            {data.records.map((record) => <RecordCard key={record.purpose + record.name + record.expected} record={record} />)}
          </>
        )}
      </Shown>
      <Keys name={name} />
      <Tracking name={name} />
      {question}
    </>
  );
}

type Key = Schemas["DkimKeyRow"];

/** By which its mail is signed; those before stay until what they signed has arrived. */
function Keys({ name }: { name: string }) {
  const { may } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const keys = api.useQuery("get", "/v1/dkim");
  const remove = async (key: Key) => {
    await got(client.DELETE("/v1/dkim/{domain}/{selector}", { params: { path: { domain: key.domain, selector: key.selector } } }));
    tell(t("domain.key_removed", { name: key.selector }));
    await queryClient.invalidateQueries();
  };
  const columns: Column<Key>[] = [
    { title: t("domain.selector"), cell: (row) => <span className="mono">{row.selector}</span>, text: (row) => row.selector },
    { title: t("domain.algorithm"), cell: (row) => row.algorithm, text: (row) => row.algorithm },
    { title: t("domain.proved"), cell: (row) => (row.proved_at == null ? <Badge tone="warn">{t("domain.not_proved")}</Badge> : <Badge tone="good">{t("domain.signs")}</Badge>), text: (row) => (row.proved_at == null ? "" : toDate(row.proved_at).toISOString()) },
    { title: t("credentials.made"), cell: (row) => <When at={row.created_at} />, text: (row) => toDate(row.created_at).toISOString() },
    ...(may("domains_write") ? [{ title: t("list.actions"), cell: (row: Key) => <Button small look="danger" aria-label={t("domain.remove_key_of", { name: row.selector })} onClick={() => ask({ title: t("domain.remove_key"), text: t("domain.remove_key_text", { name: row.selector }), button: t("domain.remove_key"), danger: true, act: () => remove(row) })}>{t("domain.remove_key")}</Button>, text: () => "" }] : []),
  ];
  return (
    <>
      <Shown of={keys} rows={2}>{({ items }) => <Table name={`${name}-keys`} title={t("domain.keys")} rows={items.filter((key) => key.domain === name)} columns={columns} id={(row) => row.selector} empty={<Empty title={t("domain.no_keys")} text={t("domain.no_keys_text")} />} />}</Shown>
      {question}
    </>
  );
}

/** Of mail that does not say so itself, and whose stream does not either. */
function Tracking({ name }: { name: string }) {
  const { may } = useSession();
  const path = { params: { path: { name } } };
  const said = api.useQuery("get", "/v1/domains/{name}/tracking", path);
  const save = async (tracking: Schemas["Tracking"] | null) => {
    await got(client.PUT("/v1/domains/{name}/tracking", { ...path, body: { tracking } }));
  };
  return (
    <Card title={t("tracking.title")}>
      <Shown of={said} rows={2}>{(data) => <TrackingForm key={data.tracking} said={data.tracking} unsaid={t("tracking.unsaid_domain")} text={t("tracking.domain_text")} readonly={!may("domains_write")} save={save} />}</Shown>
    </Card>
  );
}
