// Bars and a line over days, drawn as SVG; the numbers stand in a table for those who cannot see it.
export interface Point {
  name: string;
  /** The line: what was planned. */
  plan: number;
  /** The bar: what came of it. */
  done?: number;
}

const WIDTH = 640;
const HEIGHT = 220;
const LEFT = 58;
const BOTTOM = 24;

function short(count: number): string {
  return count.toLocaleString(undefined, { notation: "compact", maximumFractionDigits: 1 });
}

export function Chart({ points, label, plan, done }: { points: Point[]; label: string; plan: string; done?: string }) {
  const most = Math.max(1, ...points.flatMap((point) => [point.plan, point.done ?? 0]));
  const step = (WIDTH - LEFT) / Math.max(1, points.length);
  const x = (at: number) => LEFT + step * at;
  const y = (count: number) => (HEIGHT - BOTTOM) * (1 - count / most) + 8;
  const line = points.map((point, at) => `${at === 0 ? "M" : "L"}${x(at) + step / 2} ${y(point.plan)}`).join("");
  const every = Math.ceil(points.length / 8);
  return (
    <figure className="stack tight">
      <svg className="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT + 12}`} role="img" aria-label={label}>
        {[0, 0.5, 1].map((part) => (
          <g key={part}>
            <line x1={LEFT} x2={WIDTH} y1={y(most * part)} y2={y(most * part)} stroke="var(--line)" />
            <text x={LEFT - 8} y={y(most * part) + 4} textAnchor="end" fontSize="12" fill="var(--faint)">{short(most * part)}</text>
          </g>
        ))}
        {points.map((point, at) => point.done !== undefined && <rect key={point.name} x={x(at) + step * 0.15} width={step * 0.7} y={y(point.done)} height={y(0) - y(point.done)} fill="var(--accent)" opacity="0.75" rx="2" />)}
        <path d={line} fill="none" stroke="var(--warn)" strokeWidth="2" />
        {points.map((point, at) => at % every === 0 && <text key={point.name} x={x(at) + step / 2} y={HEIGHT + 6} textAnchor="middle" fontSize="12" fill="var(--faint)">{point.name}</text>)}
      </svg>
      <figcaption className="row faint"><span><span style={{ color: "var(--warn)" }}>━</span> {plan}</span>{done && <span><span style={{ color: "var(--accent)" }}>■</span> {done}</span>}</figcaption>
      <div className="unseen">{/* A table would not keep to the size of what is hidden. */}<table>
        <caption>{label}</caption>
        <thead><tr><th>–</th><th>{plan}</th>{done && <th>{done}</th>}</tr></thead>
        <tbody>{points.map((point) => <tr key={point.name}><th>{point.name}</th><td>{point.plan}</td>{done && <td>{point.done ?? ""}</td>}</tr>)}</tbody>
      </table></div>
    </figure>
  );
}
