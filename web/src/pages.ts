// Every page of the panel: where it is, what it is called, who may see it. Navigation, command
// palette, router and tests are made of this one list.
import type { ComponentType } from "react";
import type { Permission } from "./lib/session";
import type { Key } from "./lib/text";
import type { IconName } from "./parts/icon";

export type Group = "now" | "mail" | "reach" | "audience" | "setup";

export interface PageEntry {
  path: string;
  title: Key;
  icon: IconName;
  group: Group;
  needs?: Permission;
  load: () => Promise<{ Page: ComponentType }>;
  /** Not in the navigation: it is of one thing. */
  part?: boolean;
}

export const GROUPS: Group[] = ["now", "mail", "reach", "audience", "setup"];

export const PAGES: PageEntry[] = [
  { path: "/", title: "home.title", icon: "home", group: "now", load: () => import("./pages/home/page") },
  { path: "/messages", title: "messages.title", icon: "mail", group: "mail", needs: "messages_read", load: () => import("./pages/messages/page") },
  { path: "/messages/$id", title: "message.title", icon: "mail", group: "mail", needs: "messages_read", part: true, load: () => import("./pages/messages/one") },
  { path: "/compose", title: "compose.title", icon: "mail", group: "mail", needs: "send", part: true, load: () => import("./pages/messages/compose") },
  { path: "/queue", title: "queue.title", icon: "queue", group: "mail", needs: "messages_read", load: () => import("./pages/queue/page") },
  { path: "/deliveries/$id", title: "delivery.title", icon: "queue", group: "mail", needs: "messages_read", part: true, load: () => import("./pages/queue/one") },
  { path: "/holds", title: "holds.title", icon: "stop", group: "mail", needs: "messages_read", load: () => import("./pages/holds/page") },
  { path: "/traces", title: "traces.title", icon: "log", group: "mail", needs: "messages_read", load: () => import("./pages/traces/page") },
  { path: "/inbound", title: "inbound.title", icon: "download", group: "mail", needs: "messages_read", load: () => import("./pages/inbound/page") },
  { path: "/suppressions", title: "suppressions.title", icon: "stop", group: "mail", needs: "suppressions_read", load: () => import("./pages/suppressions/page") },
  { path: "/deliverability", title: "reach.title", icon: "grid", group: "reach", needs: "installation", load: () => import("./pages/deliverability/page") },
  { path: "/warmups", title: "warmups.title", icon: "gauge", group: "reach", needs: "installation", load: () => import("./pages/warmups/page") },
  { path: "/warmups/$id", title: "warmups.title", icon: "gauge", group: "reach", needs: "installation", part: true, load: () => import("./pages/warmups/one") },
  { path: "/sources", title: "sources.title", icon: "upload", group: "reach", needs: "installation", load: () => import("./pages/sources/page") },
  { path: "/limits", title: "limits.title", icon: "stop", group: "reach", needs: "delivery_read", load: () => import("./pages/limits/page") },
  { path: "/classification", title: "classification.title", icon: "book", group: "reach", needs: "installation", load: () => import("./pages/classification/page") },
  { path: "/contacts", title: "contacts.title", icon: "people", group: "audience", needs: "contacts_read", load: () => import("./pages/contacts/page") },
  { path: "/contacts/$id", title: "contact.title", icon: "people", group: "audience", needs: "contacts_read", part: true, load: () => import("./pages/contacts/one") },
  { path: "/lists", title: "lists.title", icon: "list", group: "audience", needs: "contacts_read", load: () => import("./pages/lists/page") },
  { path: "/lists/$id", title: "list.title", icon: "list", group: "audience", needs: "contacts_read", part: true, load: () => import("./pages/lists/one") },
  { path: "/segments", title: "segments.title", icon: "filter", group: "audience", needs: "contacts_read", load: () => import("./pages/segments/page") },
  { path: "/imports", title: "imports.title", icon: "upload", group: "audience", needs: "contacts_read", load: () => import("./pages/imports/page") },
  { path: "/imports/$id", title: "import.title", icon: "upload", group: "audience", needs: "contacts_read", part: true, load: () => import("./pages/imports/one") },
  { path: "/campaigns", title: "campaigns.title", icon: "megaphone", group: "audience", needs: "campaigns_read", load: () => import("./pages/campaigns/page") },
  { path: "/campaigns/compare", title: "compare.title", icon: "megaphone", group: "audience", needs: "campaigns_read", part: true, load: () => import("./pages/campaigns/compare") },
  { path: "/campaigns/$id", title: "campaign.title", icon: "megaphone", group: "audience", needs: "campaigns_read", part: true, load: () => import("./pages/campaigns/one") },
  { path: "/campaigns/$id/report", title: "report.title", icon: "megaphone", group: "audience", needs: "campaigns_read", part: true, load: () => import("./pages/campaigns/report") },
  { path: "/campaigns/$id/recipients", title: "recipients.title", icon: "megaphone", group: "audience", needs: "campaigns_read", part: true, load: () => import("./pages/campaigns/recipients") },
  { path: "/automations", title: "automations.title", icon: "refresh", group: "audience", needs: "campaigns_read", load: () => import("./pages/automations/page") },
  { path: "/automations/$id", title: "automations.title", icon: "refresh", group: "audience", needs: "campaigns_read", part: true, load: () => import("./pages/automations/one") },
  { path: "/templates", title: "templates.title", icon: "page", group: "audience", needs: "campaigns_read", load: () => import("./pages/templates/page") },
  { path: "/templates/visual", title: "templates.add_visual", icon: "page", group: "audience", needs: "campaigns_write", part: true, load: () => import("./pages/templates/visual") },
  { path: "/templates/$id", title: "template.title", icon: "page", group: "audience", needs: "campaigns_read", part: true, load: () => import("./pages/templates/one") },
  { path: "/media", title: "media.title", icon: "block_image", group: "audience", needs: "campaigns_read", load: () => import("./pages/media/page") },
  { path: "/domains", title: "domains.title", icon: "globe", group: "setup", needs: "domains_read", load: () => import("./pages/domains/page") },
  { path: "/domains/$name", title: "domain.title", icon: "globe", group: "setup", needs: "domains_read", part: true, load: () => import("./pages/domains/one") },
  { path: "/credentials", title: "credentials.title", icon: "key", group: "setup", needs: "credentials_read", load: () => import("./pages/credentials/page") },
  { path: "/webhooks", title: "webhooks.title", icon: "hook", group: "setup", needs: "webhooks_read", load: () => import("./pages/webhooks/page") },
  { path: "/webhooks/$id", title: "webhook.title", icon: "hook", group: "setup", needs: "webhooks_read", part: true, load: () => import("./pages/webhooks/one") },
  { path: "/users", title: "users.title", icon: "user", group: "setup", needs: "people_read", load: () => import("./pages/users/page") },
  { path: "/organizations", title: "organizations.title", icon: "grid", group: "setup", needs: "installation", load: () => import("./pages/organizations/page") },
  { path: "/organizations/$id", title: "organization.title", icon: "grid", group: "setup", needs: "settings_read", part: true, load: () => import("./pages/organizations/one") },
  { path: "/audit", title: "audit.title", icon: "log", group: "setup", needs: "audit_read", load: () => import("./pages/audit/page") },
  { path: "/settings", title: "settings.title", icon: "gear", group: "setup", load: () => import("./pages/settings/page") },
];
