// Sends one mail by the same call that applications use: to see that a domain works.
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { ofInput } from "../../lib/time";
import { Card, PageHead } from "../../parts/basic";
import { type Field, Form, given, lines, type Values } from "../../parts/form";
import { Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";

const TRACKED: Schemas["Tracking"][] = ["none", "opens", "clicks", "both"];

export function Page() {
  const { may, who } = useSession();
  const navigate = useNavigate();
  const facts = useQuery({
    queryKey: ["compose"],
    queryFn: async () => {
      const domains = may("domains_read") ? (await got(client.GET("/v1/domains"))).items : [];
      const streams = may("settings_read") ? (await got(client.GET("/v1/streams"))).items : [];
      return { domain: domains[0]?.name, streams: [...new Set(streams.map((stream) => stream.name))] };
    },
  });
  const send = async (values: Values) => {
    const body = {
      from: given(values, "from") ?? "",
      to: lines(values, "to"),
      cc: lines(values, "cc"),
      bcc: lines(values, "bcc"),
      subject: given(values, "subject") ?? "",
      text: given(values, "text"),
      html: given(values, "html"),
      stream: given(values, "stream"),
      tag: given(values, "tag"),
      scheduled_at: ofInput(given(values, "scheduled_at") ?? ""),
      track: TRACKED.find((one) => one === values.track),
    };
    const accepted = await got(client.POST("/v1/messages", { body }));
    tell(t("compose.sent"));
    await navigate({ to: "/messages/$id", params: { id: String(accepted.id) } });
  };
  return (
    <>
      <PageHead title={t("compose.title")} text={t("compose.text")} />
      <Card>
        <Shown of={facts}>
          {({ domain, streams }) => {
            const fields: Field[] = [
              { name: "from", label: t("compose.from"), required: true, value: domain ? `${who.name || "Hello"} <hello@${domain}>` : "" },
              { name: "to", label: t("compose.to"), kind: "lines", required: true, hint: t("compose.to_hint") },
              { name: "cc", label: t("compose.cc"), kind: "lines" },
              { name: "bcc", label: t("compose.bcc"), kind: "lines", hint: t("compose.bcc_hint") },
              { name: "subject", label: t("messages.subject"), required: true },
              { name: "text", label: t("compose.body"), kind: "area" },
              { name: "html", label: t("compose.html"), kind: "code" },
              { name: "stream", label: t("credentials.stream"), kind: "select", options: [["", t("compose.stream_default")], ...streams.map((name): [string, string] => [name, name])] },
              { name: "tag", label: t("messages.tag") },
              { name: "scheduled_at", label: t("compose.scheduled"), kind: "moment", hint: t("compose.scheduled_hint") },
              { name: "track", label: t("tracking.tells"), kind: "select", options: [["", t("tracking.unsaid_mail")], ...options("tracking_way", TRACKED)] },
            ];
            return <Form fields={fields} button={t("compose.send")} submit={send} />;
          }}
        </Shown>
      </Card>
    </>
  );
}
