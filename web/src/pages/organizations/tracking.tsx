// What submitted mail of a stream tells of its readers.
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Dialog } from "../../parts/dialog";
import { Shown } from "../../parts/state";
import { TrackingForm } from "../../parts/tracking";

export function StreamTrackingDialog({ stream, close }: { stream: Schemas["StreamRow"]; close: () => void }) {
  const { may } = useSession();
  const path = { params: { path: { id: stream.id }, header: { "postroad-organization": stream.organization } } };
  const said = api.useQuery("get", "/v1/streams/{id}/tracking", path);
  const save = async (tracking: Schemas["Tracking"] | null) => {
    await got(client.PUT("/v1/streams/{id}/tracking", { ...path, body: { tracking } }));
    await said.refetch();
    close();
  };
  return (
    <Dialog open close={close} title={t("tracking.of", { name: stream.name })}>
      <Shown of={said} rows={2}>{(data) => <TrackingForm said={data.tracking} unsaid={t("tracking.unsaid_stream")} text={t("tracking.stream_text")} readonly={!may("settings_write")} save={save} cancel={close} />}</Shown>
    </Dialog>
  );
}
