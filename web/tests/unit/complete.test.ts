// What is offered at which place of a template.
import { expect, test } from "vitest";
import { offered } from "../../src/lib/complete";

const NAMES = ["name", "city"];

test("fields are offered within braces, filters behind a bar, statements at the beginning", () => {
  for (const [before, first] of [
    ["Hello {{ na", "name"],
    ["{% if ci", "name"],
    ["{{ name|def", "abs"],
    ["{{ name | ", "abs"],
    ["{% ", "if"],
    ["{% el", "if"],
  ] as [string, string][]) expect(offered(before, NAMES)?.labels[0], before).toBe(first);
});

test("outside of braces nothing is offered", () => {
  for (const before of ["Hello na", "{{ name }} and", "{% if a %}b", "a { b"]) expect(offered(before, NAMES), before).toBeNull();
});
