// Who forgot his password asks for a link here, and chooses another one when it has led him back.
import { useState } from "react";
import { client, got } from "../../api/client";
import { t } from "../../lib/text";
import { useFilters } from "../../parts/filters";
import { type Field, Form, given, type Values } from "../../parts/form";
import { Notice } from "../../parts/basic";

export function Reset() {
  const { values: search } = useFilters();
  const token = search.token ?? "";
  return (
    <div className="outside">
      <main className="card">
        <div className="body">
          <div className="brand" style={{ padding: 0 }}><img src="/icon.svg" alt="" />Postroad</div>
          <h1>{t("reset.title")}</h1>
          {token === "" ? <Ask /> : <Choose token={token} />}
        </div>
      </main>
    </div>
  );
}

function Ask() {
  const [asked, setAsked] = useState(false);
  const fields: Field[] = [
    { name: "email", label: t("session.email"), kind: "email", required: true, complete: "username" },
  ];
  const ask = async (values: Values) => {
    await got(client.POST("/v1/password-resets", { body: { email: given(values, "email") ?? "" } }));
    setAsked(true);
  };
  return asked ? <Notice tone="info">{t("reset.asked")}</Notice> : <Form fields={fields} button={t("reset.ask")} submit={ask} />;
}

function Choose({ token }: { token: string }) {
  const fields: Field[] = [
    { name: "password", label: t("session.password"), hint: t("reset.password_hint"), kind: "password", required: true, complete: "new-password" },
  ];
  const choose = async (values: Values) => {
    await got(client.POST("/v1/password-resets/take", { body: { token, password: String(values.password) } }));
    location.assign("/");
  };
  return <Form fields={fields} button={t("reset.choose")} submit={choose} />;
}
