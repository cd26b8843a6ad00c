// In a question before something is done: to how many it happens, counted as the question opens.
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { client, got, type Schemas } from "../api/client";
import { t } from "../lib/text";
import { explain } from "./state";

interface Props {
  /** What will happen, which stands there at once. */
  text: ReactNode;
  /** Names what is counted. */
  of: (string | number)[];
  count: () => Promise<string>;
}

/** The sentence that `count` gives, below the text. */
export function Concerned({ text, of, count }: Props) {
  const found = useQuery({ queryKey: ["concerned", ...of], staleTime: 0, gcTime: 0, retry: false, queryFn: count });
  return (
    <>
      <p>{text}</p>
      <p role="status" aria-busy={found.isPending}>{found.data !== undefined ? <strong>{found.data}</strong> : found.error ? t("concerned.unknown", { why: explain(found.error) }) : "…"}</p>
    </>
  );
}

const PAGES_MAX = 100;

/** All of a list, or those of it that are meant. */
export async function counted<Row>(load: (cursor: number | undefined) => Promise<{ items: Row[]; next?: string | null }>, isMeant: (row: Row) => boolean = () => true): Promise<number> {
  let count = 0;
  let cursor: number | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { items, next } = await load(cursor);
    count += items.filter(isMeant).length;
    if (!next) break;
    cursor = Number(next);
  }
  return count;
}

type Matches = Schemas["HoldMatch"];

/** Mails that wait now and are of this kind, whatever they wait for. */
export async function waiting(matches: Partial<Matches>): Promise<number> {
  const params = matches.organization == null ? {} : { header: { "postroad-organization": matches.organization } };
  const { count } = await got(client.POST("/v1/hold-rules/preview", { params, body: { ...matches, reason: "" } }));
  return count;
}
