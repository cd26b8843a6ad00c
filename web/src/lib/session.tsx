// Who is signed in, for which organization he acts, and what he may do there.
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useMemo, useState } from "react";
import { actFor, api, client, got, type Schemas } from "../api/client";
import { Loading } from "../parts/state";

export type Permission = Schemas["Permission"];

interface Session {
  who: Schemas["Who"];
  organizations: Schemas["OrganizationRow"][];
  /** null: all of them, for who stands above. */
  organization: number | null;
  choose: (id: number | null) => void;
  may: (permission: Permission) => boolean;
  signOut: () => Promise<void>;
}

const Context = createContext<Session | null>(null);
const KEPT = "organization";

export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("a page is drawn outside of a session");
  return session;
}

function chosen(who: Schemas["Who"]): number | null {
  const kept = Number(localStorage.getItem(KEPT));
  const own = who.organizations.map((one) => one.organization);
  if (kept > 0 && (who.installation_admin || own.includes(kept))) return kept;
  return own[0] ?? null;
}

export function SessionGate({ outside, children }: { outside: () => ReactNode; children: ReactNode }) {
  const who = api.useQuery("get", "/v1/session", {}, { retry: false, staleTime: 60_000 });
  if (who.isPending) return <Loading rows={3} />;
  if (!who.data) return outside();
  return <Inside who={who.data}>{children}</Inside>;
}

function Inside({ who, children }: { who: Schemas["Who"]; children: ReactNode }) {
  const queryClient = useQueryClient();
  const [organization, setOrganization] = useState(() => {
    const id = chosen(who);
    actFor(id);
    return id;
  });
  const organizations = api.useQuery("get", "/v1/organizations", {}, { staleTime: 60_000 });
  const session = useMemo<Session>(() => {
    const belonging = who.organizations.find((one) => one.organization === organization);
    return {
      who,
      organizations: organizations.data?.items ?? [],
      organization,
      choose: (id) => {
        actFor(id);
        localStorage.setItem(KEPT, String(id ?? 0));
        setOrganization(id);
        // Nothing of one organization is shown under the name of another.
        void queryClient.resetQueries();
      },
      may: (permission) => who.installation_admin || (belonging?.permissions.includes(permission) ?? false),
      signOut: async () => {
        await got(client.DELETE("/v1/session"));
        actFor(null);
        queryClient.clear();
        location.assign("/");
      },
    };
  }, [who, organization, organizations.data, queryClient]);
  return <Context.Provider value={session}>{children}</Context.Provider>;
}
