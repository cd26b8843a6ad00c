// What is said of the certificate of an organization's host.
import { expect, test } from "vitest";
import type { Schemas } from "../../src/api/client";
import { standingOf } from "../../src/pages/organizations/certificate";

const NOW = 1_000_000;

test("a certificate that holds is said to hold, also while its renewal fails", () => {
  const of = (more: Partial<Schemas["HostCertificate"]>) => standingOf({ origin: "authority", failures: 0, ...more }, NOW);
  expect(standingOf(null, NOW)).toBe("unknown");
  expect(of({})).toBe("awaited");
  expect(of({ origin: "none" })).toBe("unasked");
  expect(of({ valid_until: NOW + 1 })).toBe("holds");
  expect(of({ valid_until: NOW + 1, last_error: "refused", failures: 2 })).toBe("holds");
  expect(of({ last_error: "refused", failures: 1 })).toBe("failed");
  expect(of({ valid_until: NOW, last_error: "refused", failures: 1 })).toBe("failed");
  expect(of({ valid_until: NOW })).toBe("over");
});
