// Whether white can be read on a colour (WCAG 2, the ratio of two lights).
export const CONTRAST_MIN = 4.5;

function light(part: number): number {
  const share = part / 255;
  return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
}

/** Of white to `#rrggbb`, from 1 to 21; undefined where that is no colour. */
export function contrastToWhite(colour: string): number | undefined {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(colour);
  if (!found) return undefined;
  const [red, green, blue] = found.slice(1).map((digits) => light(Number.parseInt(digits, 16))) as [number, number, number];
  return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05);
}
