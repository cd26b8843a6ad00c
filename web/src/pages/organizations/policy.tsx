// What a stream does with suppressed recipients and with bounces.
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Dialog } from "../../parts/dialog";
import { type Field, Form, type Values } from "../../parts/form";
import { Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";

type Policy = Schemas["StreamPolicy"];

const SUPPRESSED: Policy["suppressed"][] = ["refuse", "report", "hold"];
const BOUNCES: Policy["bounces"][] = ["asked", "always"];

export function StreamPolicyDialog({ stream, close }: { stream: Schemas["StreamRow"]; close: () => void }) {
  const { may } = useSession();
  const path = { params: { path: { id: stream.id }, header: { "postroad-organization": stream.organization } } };
  const policy = api.useQuery("get", "/v1/streams/{id}/policy", path);
  const save = async (values: Values) => {
    await got(client.PUT("/v1/streams/{id}/policy", { ...path, body: { suppressed: values.suppressed as Policy["suppressed"], bounces: values.bounces as Policy["bounces"] } }));
    tell(t("act.saved"));
    close();
  };
  const fields = (now: Policy): Field[] => [
    { name: "suppressed", label: t("policy.suppressed"), kind: "select", options: options("suppressed_policy", SUPPRESSED), value: now.suppressed },
    { name: "bounces", label: t("policy.bounces"), kind: "select", options: options("bounce_policy", BOUNCES), value: now.bounces },
  ];
  return (
    <Dialog open close={close} title={t("policy.of", { name: stream.name })}>
      <Shown of={policy} rows={2}>{(now) => <fieldset disabled={!may("suppressions_write")}><Form fields={fields(now)} button={t("act.save")} submit={save} cancel={close} /></fieldset>}</Shown>
    </Dialog>
  );
}
