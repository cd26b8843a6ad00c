// Endpoints that are told of events.
import { Link } from "@tanstack/react-router";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Badge, PageHead, When } from "../../parts/basic";
import { type Field, given, many, type Values } from "../../parts/form";
import { type Column, List } from "../../parts/list";
import { Maker } from "../../parts/maker";
import { Secret } from "../../parts/secret";
import { options } from "../../parts/words";

export type Webhook = Schemas["WebhookView"];

const FORMATS: Webhook["format"][] = ["postroad", "postal"];

export function useKinds(): [string, string][] {
  const kinds = api.useQuery("get", "/v1/events/kinds", {}, { staleTime: 600_000 });
  return (kinds.data?.items ?? []).filter((kind) => kind.exists).map((kind) => [kind.name, word("event_of", kind.name)]);
}

export function HookState({ webhook }: { webhook: Webhook }) {
  if (!webhook.enabled) return <Badge>{t("webhooks.off")}</Badge>;
  return webhook.failing_since ? <Badge tone="bad">{t("webhooks.failing")}</Badge> : <Badge tone="good">{t("webhooks.on")}</Badge>;
}

export function hookFields(kinds: [string, string][], webhook?: Webhook): Field[] {
  return [
    { name: "name", label: t("webhooks.name"), required: true, value: webhook?.name },
    { name: "url", label: t("webhooks.url"), required: true, value: webhook?.url, placeholder: "https://app.example.com/hooks/mail" },
    { name: "kinds", label: t("webhooks.kinds"), kind: "checks", options: kinds, value: webhook?.kinds ?? [], hint: t("webhooks.kinds_hint") },
    // What is called by it is written for one format; it stays.
    ...(webhook ? [] : [{ name: "format", label: t("routes.format"), kind: "select", options: options("webhook_format", FORMATS), hint: t("webhooks.format_hint") } satisfies Field]),
  ];
}

export function Page() {
  const { may } = useSession();
  const kinds = useKinds();
  const columns: Column<Webhook>[] = [
    { title: t("webhooks.name"), cell: (row) => <><Link to="/webhooks/$id" params={{ id: String(row.id) }}>{row.name}</Link><div className="sub break">{row.url}</div></>, text: (row) => row.name },
    { title: t("messages.state"), cell: (row) => <HookState webhook={row} />, text: (row) => String(row.enabled) },
    { title: t("webhooks.kinds"), cell: (row) => row.kinds.length === 0 ? t("webhooks.all") : row.kinds.map((kind) => word("event_of", kind)).join(", ") },
    { title: t("webhooks.last"), cell: (row) => <When at={row.succeeded_at} absent={t("credentials.never")} />, text: (row) => String(row.succeeded_at ?? "") },
  ];
  const add = async (values: Values) => {
    const made = await got(client.POST("/v1/webhooks", { body: { name: given(values, "name") ?? "", url: given(values, "url") ?? "", kinds: many(values, "kinds") as Webhook["kinds"], format: values.format as Webhook["format"] } }));
    return <Secret pairs={[[t("webhooks.secret"), made.secret]]} />;
  };
  return (
    <>
      <PageHead title={t("webhooks.title")} text={t("webhooks.text")}>
        {may("webhooks_write") && <Maker label={t("webhooks.add")} title={t("webhooks.add")} fields={hookFields(kinds)} button={t("webhooks.add")} submit={add} />}
      </PageHead>
      <List whole name="webhooks" label={t("webhooks.title")} load={() => got(client.GET("/v1/webhooks"))} columns={columns} id={(row) => row.id} every={10_000} empty={{ title: t("webhooks.empty"), text: t("webhooks.empty_text") }} />
    </>
  );
}
