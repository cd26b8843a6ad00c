// Suspending an organization and letting it go on, after it was said what that does to how many.
import { useQueryClient } from "@tanstack/react-query";
import { client, got, type Schemas } from "../../api/client";
import { t } from "../../lib/text";
import { Concerned, counted, waiting } from "../../parts/concerned";
import type { useQuestion } from "../../parts/dialog";
import { given, type Values } from "../../parts/form";
import { FormDialog } from "../../parts/maker";
import { tell } from "../../parts/toast";

type Organization = Pick<Schemas["OrganizationRow"], "id" | "name">;

function campaignsUnderWay(organization: number): Promise<number> {
  return counted((cursor) => got(client.GET("/v1/campaigns", { params: { header: { "postroad-organization": organization }, query: { state: "sending", cursor } } })));
}

async function concerned({ id }: Organization): Promise<string> {
  const [mails, campaigns] = await Promise.all([waiting({ organization: id }), campaignsUnderWay(id)]);
  return t("organizations.suspend_concerns", { mails, campaigns });
}

export function Suspending({ of, close }: { of: Organization; close: () => void }) {
  const suspend = async (values: Values) => {
    await got(client.POST("/v1/organizations/{id}/suspend", { params: { path: { id: of.id } }, body: { reason: given(values, "reason") ?? "" } }));
  };
  const text = <Concerned text={t("organizations.suspend_text", { name: of.name })} of={["suspend", of.id]} count={() => concerned(of)} />;
  return <FormDialog close={close} title={t("organizations.suspend")} text={text} danger fields={[{ name: "reason", label: t("limits.reason"), required: true, hint: t("organizations.reason_hint") }]} button={t("organizations.suspend")} done={t("organizations.suspended_one")} submit={suspend} />;
}

/** Asks whether it may go on. */
export function useResume(ask: ReturnType<typeof useQuestion>[0]): (of: Organization) => void {
  const queryClient = useQueryClient();
  const resume = async (id: number) => {
    await got(client.POST("/v1/organizations/{id}/resume", { params: { path: { id } } }));
    tell(t("organizations.resumed"));
    await queryClient.invalidateQueries();
  };
  return (of) => ask({
    title: t("organizations.resume"),
    text: <Concerned text={t("organizations.resume_text", { name: of.name })} of={["resume", of.id]} count={async () => t("organizations.resume_concerns", { n: await waiting({ organization: of.id }) })} />,
    button: t("organizations.resume"),
    act: () => resume(of.id),
  });
}
