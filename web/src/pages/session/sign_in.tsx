import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client, got, Refused } from "../../api/client";
import { t } from "../../lib/text";
import { type Field, Form, given, type Values } from "../../parts/form";

export function SignIn() {
  const [needsCode, setNeedsCode] = useState(false);
  const queryClient = useQueryClient();
  const fields: Field[] = [
    { name: "email", label: t("session.email"), kind: "email", required: true, complete: "username" },
    { name: "password", label: t("session.password"), kind: "password", required: true, complete: "current-password" },
    { name: "code", label: t("session.code"), hint: t("session.code_hint"), required: true, complete: "one-time-code", shown: () => needsCode },
  ];
  const signIn = async (values: Values) => {
    const body = { email: given(values, "email") ?? "", password: String(values.password), code: given(values, "code") };
    try {
      const who = await got(client.POST("/v1/session", { body }));
      queryClient.clear();
      queryClient.setQueryData(["get", "/v1/session", {}], who);
      location.reload();
    } catch (error) {
      if (error instanceof Refused && error.problem.status === 401) {
        const asks = error.problem.field === "code";
        if (asks && !needsCode) return setNeedsCode(true);
        throw new Refused({ status: 401, detail: asks ? t("session.wrong_code") : t("session.wrong") });
      }
      throw error;
    }
  };
  return (
    <>
      <h1>{t("session.title")}</h1>
      <Form fields={fields} button={t("session.sign_in")} submit={signIn} />
      <a href="/reset">{t("reset.forgotten")}</a>
    </>
  );
}
