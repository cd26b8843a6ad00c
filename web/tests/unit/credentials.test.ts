// The form of a credential and the rules that it sends.
import { expect, test } from "vitest";
import type { Schemas } from "../../src/api/client";
import { ruleFields, rulesOf } from "../../src/pages/credentials/page";

test("a form that nobody changed sends back all the rules that the credential had", () => {
  const rules: Schemas["CredentialRules"] = { scopes: ["send", "messages_read"], senders: ["shop.test"], networks: ["192.0.2.0/24"], rate_hour: 100, expires_at: 1_800_000_000_000_000, capture: true };
  const untouched = Object.fromEntries(ruleFields(rules).map((field) => [field.name, field.value ?? ""]));
  expect(rulesOf(untouched)).toEqual(rules);
});
