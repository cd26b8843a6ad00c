// Several counts over time: bars that are stacked, lines above them. The numbers stand in a table
// for those who cannot see it, and each line has a pattern of its own beside its colour.
import { t } from "../lib/text";

export interface Serie {
  name: string;
  colour: "accent" | "good" | "warn" | "bad" | "info";
  line?: boolean;
  values: number[];
}

const WIDTH = 640;
const HEIGHT = 200;
const LEFT = 52;
const BOTTOM = 24;
const DASHES = ["", "7 4", "2 4", "10 3 2 3"];

function short(count: number): string {
  return count.toLocaleString(undefined, { notation: "compact", maximumFractionDigits: 1 });
}

/** The next number above that a person would choose for the top of an axis. */
export function roundTop(most: number): number {
  if (most <= 4) return 4;
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 10].map((step) => step * size).find((top) => top >= most) ?? most;
}

function Bars({ bars, count, x, y, step }: { bars: Serie[]; count: number; x: (at: number) => number; y: (value: number) => number; step: number }) {
  return Array.from({ length: count }, (_, at) => {
    let under = 0;
    return bars.map((serie) => {
      const value = serie.values[at] ?? 0;
      const [top, bottom] = [y(under + value), y(under)];
      under += value;
      return value > 0 && <rect key={`${serie.name}${at}`} x={x(at) + step * 0.12} width={Math.max(1, step * 0.76)} y={top} height={bottom - top} fill={`var(--${serie.colour})`} opacity="0.8" />;
    });
  });
}

export function Series({ label, names, series }: { label: string; names: string[]; series: Serie[] }) {
  const bars = series.filter((serie) => !serie.line);
  const lines = series.filter((serie) => serie.line);
  const stacked = names.map((_, at) => bars.reduce((sum, serie) => sum + (serie.values[at] ?? 0), 0));
  const top = roundTop(Math.max(...stacked, ...lines.flatMap((serie) => serie.values), 1));
  const step = (WIDTH - LEFT) / Math.max(1, names.length);
  const x = (at: number) => LEFT + step * at;
  const y = (value: number) => (HEIGHT - BOTTOM) * (1 - value / top) + 8;
  const every = Math.ceil(names.length / 8);
  const path = (values: number[]) => values.map((value, at) => `${at === 0 ? "M" : "L"}${(x(at) + step / 2).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return (
    <figure className="stack tight">
      <svg className="chart broad" viewBox={`0 0 ${WIDTH} ${HEIGHT + 12}`} role="img" aria-label={label}>
        {[0, 0.5, 1].map((part) => (
          <g key={part}>
            <line x1={LEFT} x2={WIDTH} y1={y(top * part)} y2={y(top * part)} stroke="var(--line)" />
            <text x={LEFT - 8} y={y(top * part) + 4} textAnchor="end" fontSize="12" fill="var(--faint)">{short(top * part)}</text>
          </g>
        ))}
        <Bars bars={bars} count={names.length} x={x} y={y} step={step} />
        {lines.map((serie, at) => (
          <g key={serie.name}>
            <path d={path(serie.values)} fill="none" stroke={`var(--${serie.colour})`} strokeWidth="2.2" strokeDasharray={DASHES[at % DASHES.length]} />
            {names.length === 1 && <circle cx={x(0) + step / 2} cy={y(serie.values[0] ?? 0)} r="4" fill={`var(--${serie.colour})`} />}
          </g>
        ))}
        {names.map((name, at) => at % every === 0 && <text key={`${name}${at}`} x={x(at) + step / 2} y={HEIGHT + 6} textAnchor="middle" fontSize="12" fill="var(--faint)">{name}</text>)}
      </svg>
      <figcaption className="row faint">
        {bars.map((serie) => <span key={serie.name}><span style={{ color: `var(--${serie.colour})` }}>■</span> {serie.name}</span>)}
        {lines.map((serie, at) => (
          <span key={serie.name}>
            <svg width="26" height="8" aria-hidden="true"><line x1="0" x2="26" y1="4" y2="4" stroke={`var(--${serie.colour})`} strokeWidth="2.5" strokeDasharray={DASHES[at % DASHES.length]} /></svg> {serie.name}
          </span>
        ))}
      </figcaption>
      <div className="unseen">{/* A table would not keep to the size of what is hidden. */}<table>
        <caption>{label}</caption>
        <thead><tr><th>{t("series.when")}</th>{series.map((serie) => <th key={serie.name}>{serie.name}</th>)}</tr></thead>
        <tbody>{names.map((name, at) => <tr key={`${name}${at}`}><th>{name}</th>{series.map((serie) => <td key={serie.name}>{serie.values[at] ?? 0}</td>)}</tr>)}</tbody>
      </table></div>
    </figure>
  );
}
