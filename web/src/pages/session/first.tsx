import { client, got } from "../../api/client";
import { t } from "../../lib/text";
import { Copy, Notice } from "../../parts/basic";
import { type Field, Form, given, type Values } from "../../parts/form";

export function FirstRun({ allowed }: { allowed: boolean }) {
  if (!allowed) return <FromAfar />;
  const fields: Field[] = [
    { name: "organization", label: t("setup.organization"), hint: t("setup.organization_hint"), required: true },
    { name: "name", label: t("setup.name"), complete: "name" },
    { name: "email", label: t("session.email"), kind: "email", required: true, complete: "username" },
    { name: "password", label: t("session.password"), hint: t("setup.password_hint"), kind: "password", required: true, complete: "new-password" },
  ];
  const begin = async (values: Values) => {
    const email = given(values, "email") ?? "";
    const password = String(values.password);
    const organization = given(values, "organization") ?? "";
    await got(client.POST("/v1/setup", { body: { email, password, organization, name: given(values, "name") ?? "" } }));
    await got(client.POST("/v1/session", { body: { email, password } }));
    location.assign("/");
  };
  return (
    <>
      <h1>{t("setup.title")}</h1>
      <p className="faint">{t("setup.text")}</p>
      <Form fields={fields} button={t("setup.begin")} submit={begin} />
    </>
  );
}

function FromAfar() {
  const tunnel = `ssh -L 8025:127.0.0.1:8025 ${location.hostname}`;
  return (
    <>
      <h1>{t("setup.title")}</h1>
      <Notice tone="warn">{t("setup.afar")}</Notice>
      <p>{t("setup.afar_tunnel")}</p>
      <Copy text={tunnel} />
      <p>{t("setup.afar_command")}</p>
      <Copy text="postroad user add you@example.com --admin" />
    </>
  );
}
