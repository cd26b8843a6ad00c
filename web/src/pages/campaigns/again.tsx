// The same once more to those who got it and did not read it: as a draft, after how many they are.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { client, got } from "../../api/client";
import { useSession } from "../../lib/session";
import { t, word } from "../../lib/text";
import { Button } from "../../parts/basic";
import { Dialog } from "../../parts/dialog";
import { Form } from "../../parts/form";
import { explain } from "../../parts/state";
import { tell } from "../../parts/toast";
import { options } from "../../parts/words";
import type { Campaign } from "./page";

type How = "unopened" | "unclicked";

/** What is known of who has read it. */
function known(campaign: Campaign): How[] {
  const { audience, settings: { tracking } } = campaign;
  if (audience == null || tracking === undefined || tracking.anonymous) return [];
  const { opens, clicks } = tracking;
  return [...(opens || clicks ? ["unopened" as const] : []), ...(clicks ? ["unclicked" as const] : [])];
}

export function Again({ campaign }: { campaign: Campaign }) {
  const [open, setOpen] = useState(false);
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const ways = known(campaign);
  if (ways.length === 0) return null;
  const make = async (again: How) => {
    const made = await got(client.POST("/v1/campaigns/{id}/copy", { params: { path: { id: campaign.id }, query: { again } } }));
    tell(t("campaign.copied"));
    await queryClient.invalidateQueries();
    await navigate({ to: "/campaigns/$id", params: { id: String(made.id) }, search: { view: "edit" } });
  };
  return (
    <>
      <Button icon="refresh" onClick={() => setOpen(true)}>{t("campaign.again")}</Button>
      {open && (
        <Dialog open close={() => setOpen(false)} title={t("campaign.again")} text={t("campaign.again_text")}>
          <Form fields={[{ name: "again", label: t("campaign.again_whom"), kind: "select", options: options("again_to", ways) }]} button={t("campaign.again_make")} submit={(values) => make(values.again as How)} cancel={() => setOpen(false)}>
            {(values) => <HowMany campaign={campaign.id} how={values.again as How} />}
          </Form>
        </Dialog>
      )}
    </>
  );
}

/** Of everybody who got it; who is no longer in its audience gets nothing again. */
function HowMany({ campaign, how }: { campaign: number; how: How }) {
  const { may } = useSession();
  const read = how === "unopened" ? "opened" : "clicked";
  const expression = `campaign ${campaign} is delivered and not campaign ${campaign} is ${read}`;
  const count = useQuery({ queryKey: ["again", expression], enabled: may("contacts_read"), retry: false, staleTime: 0, queryFn: () => got(client.POST("/v1/segments/count", { body: { expression } })) });
  if (count.error) return <p className="faint">{explain(count.error)}</p>;
  if (!count.data) return null;
  return <p role="status"><strong>{t("campaign.again_count", { n: count.data.count })}</strong> <span className="faint">{word("again_to", how)}</span></p>;
}
