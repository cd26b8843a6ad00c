import { expect, test } from "vitest";
import { contrastToWhite } from "../../src/lib/colour";

test("the contrast of white is 1 to itself, 21 to black, and none to what is no colour", () => {
  expect(contrastToWhite("#ffffff")).toBeCloseTo(1);
  expect(contrastToWhite("#000000")).toBeCloseTo(21);
  expect(contrastToWhite("#777777")).toBeCloseTo(4.48, 2);
  for (const wrong of ["", "red", "#fff", "#12345g"]) expect(contrastToWhite(wrong)).toBeUndefined();
});
