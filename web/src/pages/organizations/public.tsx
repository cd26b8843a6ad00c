// What everybody sees of an organization: the look of its public pages, the host that links in its
// mail lead to, and for how long it is known who followed them.
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, client, got, type Schemas } from "../../api/client";
import { CONTRAST_MIN, contrastToWhite } from "../../lib/colour";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Card, Notice } from "../../parts/basic";
import { useQuestion } from "../../parts/dialog";
import { type Field, Form, given, type Values } from "../../parts/form";
import { Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { HostCertificate } from "./certificate";

type Theme = Schemas["PublicTheme"];
type Image = Schemas["Page_MediaView"]["items"][number];

/** Of this organization, whichever is worked in. */
const headOf = (id: number) => ({ header: { "postroad-organization": id } });

export function Public({ id }: { id: number }) {
  const { may } = useSession();
  return (
    <>
      {may("campaigns_read") && <Look id={id} />}
      <div className="grid wide">
        {may("domains_read") && <Host id={id} />}
        {may("campaigns_read") && <Retention id={id} />}
      </div>
    </>
  );
}

function Look({ id }: { id: number }) {
  const { may } = useSession();
  const queryClient = useQueryClient();
  const params = headOf(id);
  const theme = api.useQuery("get", "/v1/public-theme", { params });
  const media = api.useQuery("get", "/v1/media", { params });
  const images = (media.data?.items ?? []).filter((one) => one.content_type.startsWith("image/"));
  const save = async (values: Values) => {
    const logo = given(values, "logo");
    const body = { color: given(values, "color") ?? null, logo: logo === undefined ? null : Number(logo), footer: given(values, "footer") ?? "" };
    await got(client.PUT("/v1/public-theme", { params, body }));
    tell(t("act.saved"));
    await queryClient.invalidateQueries();
  };
  return (
    <Card title={t("public.look")}>
      <Shown of={theme} rows={3}>
        {(data) => (
          <fieldset disabled={!may("campaigns_write")}>
            <Form key={JSON.stringify(data)} fields={fields(data, images)} button={t("act.save")} submit={save}>
              {(values) => <Preview values={values} images={images} />}
            </Form>
          </fieldset>
        )}
      </Shown>
    </Card>
  );
}

function fields(theme: Theme, images: Image[]): Field[] {
  const own = images.map((one): [string, string] => [String(one.id), one.name]);
  // Of many files only the newest are listed.
  const other = theme.logo != null && !images.some((one) => one.id === theme.logo) ? [[String(theme.logo), t("public.other_image", { id: String(theme.logo) })] as [string, string]] : [];
  return [
    { name: "color", label: t("public.color"), kind: "color", value: theme.color ?? "", placeholder: "#0a7f5a", hint: t("public.color_hint") },
    { name: "logo", label: t("public.logo"), kind: "select", options: [["", t("public.no_logo")], ...own, ...other], value: theme.logo == null ? "" : String(theme.logo), hint: <>{t("public.logo_hint")} <Link to="/media" search={{}}>{t("media.title")}</Link></> },
    { name: "footer", label: t("public.footer"), kind: "area", value: theme.footer ?? "", hint: t("public.footer_hint") },
  ];
}

/** About as a public page is drawn by the daemon. */
function Preview({ values, images }: { values: Values; images: Image[] }) {
  const color = given(values, "color");
  const contrast = contrastToWhite(color ?? "");
  const shown = contrast === undefined ? undefined : color;
  const logo = images.find((one) => String(one.id) === values.logo);
  const footer = given(values, "footer");
  return (
    <>
      {contrast !== undefined && contrast < CONTRAST_MIN && <Notice tone="warn">{t("public.pale")}</Notice>}
      <figure className="public-page" aria-label={t("public.preview")}>
        {logo?.url && <img src={new URL(logo.url).pathname} alt={t("public.logo")} />}
        <strong style={{ borderBottom: shown ? `3px solid ${shown}` : undefined }}>{t("public.sample_title")}</strong>
        <span>{t("public.sample_text")} <u style={{ color: shown }}>{t("public.sample_link")}</u></span>
        <span className="press" style={{ background: shown, color: shown ? "#fff" : undefined, borderColor: shown }}>{t("public.sample_button")}</span>
        {footer && <small>{footer}</small>}
      </figure>
    </>
  );
}

function Host({ id }: { id: number }) {
  const { may } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const params = headOf(id);
  const host = api.useQuery("get", "/v1/public-host", { params }, { refetchInterval: 10_000 });
  const domains = api.useQuery("get", "/v1/domains", { params });
  const own = (domains.data?.items ?? []).map((domain) => domain.name).join(", ");
  const set = async (name: string | null) => {
    await got(client.PUT("/v1/public-host", { params, body: { host: name } }));
    tell(name === null ? t("public.host_gone") : t("act.saved"));
    await queryClient.invalidateQueries();
  };
  const save = async (now: string | null | undefined, values: Values) => {
    const name = given(values, "host") ?? null;
    if (name !== null || now == null) return set(name);
    ask({ title: t("public.host"), text: t("public.host_off", { host: now }), button: t("public.host_remove"), danger: true, act: () => set(null) });
  };
  return (
    <Card title={t("public.host")}>
      <Shown of={host} rows={2}>
        {(data) => (
          <fieldset disabled={!may("domains_write")} className="stack">
            <p className="faint">{data.host == null ? t("public.host_none") : t("public.host_is", { host: data.host })}</p>
            <Form key={data.host} fields={[{ name: "host", label: t("public.host_name"), value: data.host ?? "", placeholder: "click.example.com", hint: t("public.host_hint", { domains: own || "–" }) }]} button={t("act.save")} submit={(values) => save(data.host, values)} />
            {data.host != null && <HostCertificate certificate={data.certificate} again={() => set(data.host ?? null)} />}
          </fieldset>
        )}
      </Shown>
      {question}
    </Card>
  );
}

function Retention({ id }: { id: number }) {
  const { may } = useSession();
  const [ask, question] = useQuestion();
  const queryClient = useQueryClient();
  const params = headOf(id);
  const kept = api.useQuery("get", "/v1/tracking", { params });
  const save = async (now: number | null | undefined, values: Values) => {
    const text = given(values, "keep_days");
    const days = text === undefined ? null : Number(text);
    const set = async () => {
      await got(client.PUT("/v1/tracking", { params, body: { keep_days: days } }));
      tell(t("act.saved"));
      await queryClient.invalidateQueries();
    };
    const isShorter = days !== null && (now == null || days < now);
    if (!isShorter) return set();
    ask({ title: t("public.keep"), text: t("public.keep_means", { n: days }), button: t("act.save"), danger: true, act: set });
  };
  return (
    <Card title={t("public.keep")}>
      <Shown of={kept} rows={2}>
        {(data) => (
          <fieldset disabled={!may("campaigns_write")}>
            <Form key={data.keep_days} fields={[{ name: "keep_days", label: t("public.keep_days"), kind: "number", min: 1, value: data.keep_days?.toString() ?? "", hint: t("public.keep_hint") }]} button={t("act.save")} submit={(values) => save(data.keep_days, values)} />
          </fieldset>
        )}
      </Shown>
      {question}
    </Card>
  );
}
