// The same change to many contacts: first to how many, then part by part, with how far it is.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, client, got, type Schemas } from "../../api/client";
import { spoken, t } from "../../lib/text";
import { Button } from "../../parts/basic";
import { Dialog } from "../../parts/dialog";
import { type Field, Form, given, many, type Values } from "../../parts/form";
import { Shown } from "../../parts/state";
import { tell } from "../../parts/toast";
import { consentFields, consentOf } from "./page";

type Bulk = Schemas["Bulk"];

export interface Meant {
  /** Whom it is about, as a segment. */
  segment: string;
  remove: boolean;
}

const split = (text: string | undefined) => (text ?? "").split(/\s*,\s*/).filter(Boolean);

function changeOf(values: Values): Bulk["change"] {
  const subscribe = many(values, "subscribe").map(Number);
  return {
    tags: split(given(values, "tags")),
    untag: split(given(values, "untag")),
    subscribe,
    unsubscribe: many(values, "unsubscribe").map(Number),
    consent: consentOf(values),
  };
}

function fields(lists: Schemas["ListView"][]): Field[] {
  return [
    { name: "tags", label: t("automations.put_tags"), hint: t("contact.tags_hint") },
    { name: "untag", label: t("contacts.untag"), hint: t("contact.tags_hint") },
    ...consentFields(lists),
    { name: "unsubscribe", label: t("contact.unsubscribe"), kind: "checks", options: lists.map((list) => [String(list.id), list.name]) },
  ];
}

/** Calls of one order; each takes 5,000 contacts. */
const CALLS_MAX = 10_000;

export function BulkDialog({ meant, close }: { meant: Meant; close: () => void }) {
  const { segment, remove } = meant;
  const queryClient = useQueryClient();
  const [changed, setChanged] = useState<number | null>(null);
  const count = useQuery({ queryKey: ["bulk count", segment], staleTime: 0, gcTime: 0, queryFn: () => got(client.POST("/v1/segments/count", { body: { expression: segment } })) });
  const lists = api.useQuery("get", "/v1/lists", {}, { enabled: !remove });
  const act = async (values: Values) => {
    const order: Bulk = remove ? { segment, remove } : { segment, change: changeOf(values) };
    let all = 0;
    let cursor: number | null | undefined;
    setChanged(0);
    try {
      for (let call = 0; call < CALLS_MAX; call += 1) {
        const done: Schemas["BulkDone"] = await got(client.POST("/v1/contacts/bulk", { body: { ...order, cursor } }));
        all += done.changed;
        setChanged(all);
        cursor = done.next;
        if (cursor == null) break;
      }
    } finally {
      await queryClient.invalidateQueries();
    }
    tell(t(remove ? "contacts.bulk_removed" : "contacts.bulk_changed", { n: all }));
    close();
  };
  const title = t(remove ? "contacts.bulk_remove" : "contacts.bulk_change");
  return (
    <Dialog open close={close} title={title} text={t(remove ? "contacts.bulk_remove_means" : "contacts.bulk_change_means")}>
      <Shown of={count} rows={2}>
        {({ count: n }) => (
          <>
            <p><strong>{t("contacts.bulk_whom", { n })}</strong></p>
            {n === 0 ? <div className="ends"><Button onClick={close}>{t("act.close")}</Button></div> : (
              <Form danger={remove} fields={remove ? [] : fields(lists.data?.items ?? [])} button={t(remove ? "contacts.bulk_remove_n" : "contacts.bulk_change_n", { n })} submit={act} cancel={close} />
            )}
            <p role="status" className="faint">{changed !== null && t("contacts.bulk_done", { n: changed.toLocaleString(spoken()), all: n.toLocaleString(spoken()) })}</p>
          </>
        )}
      </Shown>
    </Dialog>
  );
}
