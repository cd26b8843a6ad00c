// Domains whose addresses are taken as contacts, or are not.
import { useQueryClient } from "@tanstack/react-query";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Card } from "../../parts/basic";
import { Form, type Field, lines, type Values } from "../../parts/form";
import { Shown } from "../../parts/state";
import { tell } from "../../parts/toast";

function fields(domains: Schemas["ContactDomains"]): Field[] {
  return [
    { name: "blocked", label: t("contact_domains.blocked"), kind: "lines", value: (domains.blocked ?? []).join("\n"), placeholder: "example.com", hint: t("contact_domains.hint") },
    { name: "allowed", label: t("contact_domains.allowed"), kind: "lines", value: (domains.allowed ?? []).join("\n"), hint: t("contact_domains.allowed_hint") },
  ];
}

export function Domains() {
  const { may } = useSession();
  const queryClient = useQueryClient();
  const domains = api.useQuery("get", "/v1/contact-domains");
  const save = async (values: Values) => {
    await got(client.PUT("/v1/contact-domains", { body: { blocked: lines(values, "blocked"), allowed: lines(values, "allowed") } }));
    await queryClient.invalidateQueries();
    tell(t("act.saved"));
  };
  return (
    <Card title={t("contact_domains.title")}>
      <Shown of={domains} rows={3}>
        {(data) => (
          <div className="stack">
            <p>{t("contact_domains.text")}</p>
            {may("contacts_write")
              ? <Form key={JSON.stringify(data)} fields={fields(data)} button={t("act.save")} submit={save} />
              : <p>{[...(data.blocked ?? []), ...(data.allowed ?? [])].join(", ") || t("contact_domains.none")}</p>}
          </div>
        )}
      </Shown>
    </Card>
  );
}
