// Writes a campaign: what, to whom, when, how fast.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { client, got } from "../../api/client";
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { Card, Notice } from "../../parts/basic";
import { Form, type Values } from "../../parts/form";
import { Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { fields, inputOf, type Known } from "./input";
import type { Campaign } from "./page";

export function Edit({ campaign }: { campaign?: Campaign }) {
  const { may } = useSession();
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const launched = campaign !== undefined && !["draft", "scheduled"].includes(campaign.state);
  const known = useQuery({
    queryKey: ["campaign choices"],
    refetchOnWindowFocus: false,
    queryFn: async (): Promise<Known> => {
      const [lists, segments, templates, domains, streams, media] = await Promise.all([
        may("contacts_read") ? got(client.GET("/v1/lists")) : { items: [] },
        may("contacts_read") ? got(client.GET("/v1/segments")) : { items: [] },
        got(client.GET("/v1/templates")),
        may("domains_read") ? got(client.GET("/v1/domains")) : { items: [] },
        may("settings_read") ? got(client.GET("/v1/streams")) : { items: [] },
        got(client.GET("/v1/media")),
      ]);
      const marketing = streams.items.filter((one) => one.class === "marketing");
      return { lists: lists.items, segments: segments.items, templates: templates.items, domains: domains.items.map((one) => one.name), streams: marketing, media: media.items };
    },
  });
  const save = async (values: Values) => {
    const body = inputOf(values, campaign, launched);
    if (campaign) {
      await got(client.PUT("/v1/campaigns/{id}", { params: { path: { id: campaign.id } }, body }));
      tell(t("act.saved"));
      await navigate({ to: ".", search: {} });
    } else {
      const made = await got(client.POST("/v1/campaigns", { body }));
      await navigate({ to: "/campaigns/$id", params: { id: String(made.id) }, search: {} });
    }
    await queryClient.invalidateQueries();
  };
  return (
    <Card>
      <Shown of={known}>
        {(choices) => (
          <div className="stack">
            {choices.templates.length === 0 && <Notice tone="warn" action={<Link to="/templates/$id" params={{ id: "new" }} className="button small">{t("templates.add")}</Link>}>{t("campaign.no_template")}</Notice>}
            {launched && <Notice>{t("campaign.launched_edit")}</Notice>}
            <Form fields={fields(choices, campaign, launched)} button={t("act.save")} submit={save} />
          </div>
        )}
      </Shown>
    </Card>
  );
}
