// Whoever was invited chooses a password here, or proves the one that he has.
import { client, got } from "../../api/client";
import { t } from "../../lib/text";
import { useFilters } from "../../parts/filters";
import { type Field, Form, given, type Values } from "../../parts/form";
import { Empty } from "../../parts/state";

export function Accept() {
  const { values: search } = useFilters();
  const token = search.token ?? "";
  const fields: Field[] = [
    { name: "name", label: t("setup.name"), complete: "name" },
    { name: "password", label: t("session.password"), hint: t("accept.password_hint"), kind: "password", required: true, complete: "new-password" },
    { name: "code", label: t("session.code"), hint: t("accept.code_hint"), complete: "one-time-code" },
  ];
  const accept = async (values: Values) => {
    const password = String(values.password);
    const code = given(values, "code");
    const member = await got(client.POST("/v1/invites/accept", { body: { token, password, code, name: given(values, "name") ?? "" } }));
    // The code was spent on the invite: whoever has one signs in with the next.
    if (code === undefined) await got(client.POST("/v1/session", { body: { email: member.email, password } }));
    location.assign("/");
  };
  return (
    <div className="outside">
      <main className="card">
        <div className="body">
          <div className="brand" style={{ padding: 0 }}><img src="/icon.svg" alt="" />Postroad</div>
          {token === "" ? <Empty title={t("accept.no_token")} text={t("accept.no_token_text")} /> : (
            <>
              <h1>{t("accept.title")}</h1>
              <Form fields={fields} button={t("accept.join")} submit={accept} />
            </>
          )}
        </div>
      </main>
    </div>
  );
}
