// The one client of the API: its types are those of the document that the daemon serves.
import { QueryClient } from "@tanstack/react-query";
import createFetch from "openapi-fetch";
import createHooks from "openapi-react-query";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];

/** What the daemon refused, or why it could not be asked. */
export class Refused extends Error {
  constructor(readonly problem: Pick<Problem, "status"> & Partial<Problem>) {
    super(problem.detail ?? problem.title ?? String(problem.status));
  }
}

const ORGANIZATION = "postroad-organization";

let organization: number | null = null;
let signedOut: () => void = () => {};

/** Every later call is about this organization; null: as the daemon chooses. */
export function actFor(id: number | null): void {
  organization = id;
}

export function whenSignedOut(act: () => void): void {
  signedOut = act;
}

/** For what is not JSON: uploads, files. */
export function headers(): Record<string, string> {
  return organization === null ? {} : { [ORGANIZATION]: String(organization) };
}

export const client = createFetch<paths>({ baseUrl: "/" });

client.use({
  onRequest({ request }) {
    // What names an organization itself is about that one.
    for (const [name, value] of Object.entries(headers())) if (!request.headers.has(name)) request.headers.set(name, value);
    return request;
  },
  async onResponse({ request, response }) {
    const own = new URL(request.url).pathname === "/v1/session";
    if (response.status === 401 && !own) signedOut();
    return response;
  },
});

export const api = createHooks(client);

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data, or a `Refused` that is thrown. */
export async function got<T>(call: Promise<Answered<T>>): Promise<NonNullable<T>> {
  let answer: Answered<T>;
  try {
    answer = await call;
  } catch (error) {
    throw new Refused({ status: 0, detail: error instanceof Error ? error.message : undefined });
  }
  if (answer.data !== undefined && answer.data !== null) return answer.data;
  throw refusal(answer.error, answer.response.status);
}

export function refusal(error: unknown, status = 0): Refused {
  if (error instanceof Refused) return error;
  const isProblem = typeof error === "object" && error !== null && "status" in error;
  return new Refused(isProblem ? (error as Problem) : { status, detail: error instanceof Error ? error.message : undefined });
}

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What the daemon refused it refuses again; only what did not reach it is tried once more.
      retry: (count, error) => count < 1 && refusal(error).problem.status >= 500,
      refetchOnWindowFocus: true,
    },
  },
});
