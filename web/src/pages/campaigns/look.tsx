// A campaign as a contact would get it, and a test mail of it.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, client, got } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Card } from "../../parts/basic";
import { type Field, Form, lines, type Values } from "../../parts/form";
import { MailFrame } from "../../parts/frame";
import { Empty, Shown } from "../../parts/state";
import { Talk } from "../../parts/talk";
import { tell } from "../../parts/toast";
import type { Campaign } from "./page";

export function Look({ campaign }: { campaign: Campaign }) {
  const { may, who } = useSession();
  const contacts = api.useQuery("get", "/v1/contacts", { params: { query: { limit: 20 } } }, { enabled: may("contacts_read") });
  const [contact, setContact] = useState<number | null>(null);
  const [variant, setVariant] = useState(0);
  const chosen = contact ?? contacts.data?.items[0]?.id;
  if (contacts.data && chosen === undefined) return <Card><Empty title={t("template.no_contact")} text={t("template.no_contact_text")}><Link to="/contacts" search={{}} className="button">{t("contacts.title")}</Link></Empty></Card>;
  return (
    <div className="grid wide">
      <Card title={t("template.preview")}>
        <div className="stack">
          <div className="row">
            <label className="row">{t("template.as")}
              <select style={{ width: "auto", maxWidth: "100%" }} value={chosen ?? ""} onChange={(event) => setContact(Number(event.target.value))}>
                {contacts.data?.items.map((one) => <option key={one.id} value={one.id}>{one.email}</option>)}
              </select>
            </label>
            {campaign.content.variants.length > 1 && (
              <label className="row">{t("campaign.variant")}
                <select style={{ width: "auto" }} value={variant} onChange={(event) => setVariant(Number(event.target.value))}>
                  {campaign.content.variants.map((one, at) => <option key={one.subject} value={at}>{one.subject}</option>)}
                </select>
              </label>
            )}
          </div>
          {chosen !== undefined && <Preview id={campaign.id} contact={chosen} variant={variant} revision={campaign.revision} />}
        </div>
      </Card>
      {may("campaigns_write") && chosen !== undefined && <Test id={campaign.id} contact={chosen} variant={variant} own={who.email ?? ""} />}
    </div>
  );
}

function Preview({ id, contact, variant, revision }: { id: number; contact: number; variant: number; revision: number }) {
  const preview = useQuery({ queryKey: ["campaign preview", id, contact, variant, revision], retry: false, queryFn: () => got(client.POST("/v1/campaigns/{id}/preview", { params: { path: { id } }, body: { contact, variant } })) });
  return (
    <Shown of={preview}>
      {(data) => (
        <>
          <p><strong>{data.subject}</strong></p>
          <MailFrame html={data.html} title={t("template.preview")} />
          <details>
            <summary>{t("message.text_part")}</summary>
            <Talk text={data.text} label={t("message.text_part")} />
          </details>
        </>
      )}
    </Shown>
  );
}

function Test({ id, contact, variant, own }: { id: number; contact: number; variant: number; own: string }) {
  const fields: Field[] = [{ name: "to", label: t("compose.to"), kind: "lines", required: true, value: own, hint: t("campaign.test_hint") }];
  const send = async (values: Values) => {
    const { messages } = await got(client.POST("/v1/campaigns/{id}/test", { params: { path: { id } }, body: { to: lines(values, "to"), contact, variant } }));
    tell(t("campaign.tested", { n: messages.length }));
  };
  return <Card title={t("campaign.test")}><Form fields={fields} button={t("campaign.test_send")} submit={send} /></Card>;
}
