// One number with its name, and a share of another one.
import { spoken } from "../../lib/text";

export function percent(part: number, of: number): string {
  if (of === 0) return "–";
  const share = (part / of) * 100;
  return `${share.toLocaleString(spoken(), { maximumFractionDigits: share < 10 ? 2 : 1 })} %`;
}

export function Figure({ name, value, under }: { name: string; value: number; under?: string }) {
  return (
    <div className="figure">
      <div className="name">{name}</div>
      <div className="value">{value.toLocaleString(spoken())}</div>
      {under && <div className="under">{under}</div>}
    </div>
  );
}
