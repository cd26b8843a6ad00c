// The public form of a list: what it asks beside the address, where the browser goes on to, its HTML.
import { useQueryClient } from "@tanstack/react-query";
import { api, client, got, type Schemas } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Card, Notice } from "../../parts/basic";
import { Form, type Field, given, many, type Values } from "../../parts/form";
import { Shown } from "../../parts/state";
import { Talk } from "../../parts/talk";
import { tell } from "../../parts/toast";

type Asked = Schemas["ListFormView"];

/** Neither sealed values nor JSON are asked of a visitor. */
const isAsked = (field: Schemas["FieldView"]) => !field.encrypted && field.kind !== "json";

function fields(form: Asked, known: Schemas["FieldView"][]): Field[] {
  const choices = known.filter(isAsked).map((field): [string, string] => [field.name, field.label || field.name]);
  return [
    { name: "asks_name", label: t("list_form.asks_name"), kind: "check", value: form.asks_name },
    ...(choices.length > 0 ? [{ name: "fields", label: t("fields.title"), kind: "checks" as const, options: choices, value: form.fields }] : []),
    { name: "wording", label: t("list_form.wording"), kind: "area", value: form.wording, hint: t("list_form.wording_hint") },
    { name: "asked_url", label: t("list_form.asked_url"), value: form.asked_url ?? "", placeholder: "https://" },
    { name: "confirmed_url", label: t("list_form.confirmed_url"), value: form.confirmed_url ?? "", placeholder: "https://" },
  ];
}

export function PublicForm({ list }: { list: Schemas["ListView"] }) {
  const { may } = useSession();
  const queryClient = useQueryClient();
  const form = api.useQuery("get", "/v1/lists/{id}/form", { params: { path: { id: list.id } } });
  const known = api.useQuery("get", "/v1/contact-fields");
  const save = async (values: Values) => {
    const body = { asks_name: values.asks_name === true, fields: many(values, "fields"), wording: given(values, "wording") ?? "", asked_url: given(values, "asked_url") ?? null, confirmed_url: given(values, "confirmed_url") ?? null };
    await got(client.PUT("/v1/lists/{id}/form", { params: { path: { id: list.id } }, body }));
    await queryClient.invalidateQueries();
    tell(t("act.saved"));
  };
  return (
    <Card title={t("list_form.title")}>
      <Shown of={form} rows={3}>
        {(data) => (
          <div className="stack">
            {list.visibility === "private" ? <Notice tone="info">{t("list_form.private")}</Notice> : !data.url && <Notice tone="warn">{t("list_form.no_url")}</Notice>}
            {data.url && <p><a href={data.url} target="_blank" rel="noreferrer">{data.url}</a></p>}
            {may("contacts_write") && <Shown of={known} rows={2}>{({ items }) => <Form key={data.version} fields={fields(data, items)} button={t("act.save")} submit={save} />}</Shown>}
            {data.html && <Talk text={data.html} label={t("list_form.html")} />}
          </div>
        )}
      </Shown>
    </Card>
  );
}
