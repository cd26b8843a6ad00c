// A map of the world, each country the darker the more was counted there. Loaded when it is shown.
import world from "./world.json";

const OUTLINES = Object.entries(world.outlines as Record<string, string>);
const POINTS = Object.entries(world.points as unknown as Record<string, [number, number]>);

export interface Place {
  /** 0: nothing was counted there; 5: the most. */
  shade: number;
  /** What a pointer that rests on it is told. */
  text: string;
}

export function World({ places, label }: { places: Map<string, Place>; label: string }) {
  return (
    <svg className="world" viewBox={`0 0 ${world.width} ${world.height}`} role="img" aria-label={label}>
      {OUTLINES.map(([code, line]) => <path key={code} d={line} className={`shade-${places.get(code)?.shade ?? 0}`}>{places.has(code) && <title>{places.get(code)?.text}</title>}</path>)}
      {POINTS.map(([code, [x, y]]) => {
        const place = places.get(code);
        return place && <circle key={code} cx={x} cy={y} r="5" className={`shade-${place.shade}`}><title>{place.text}</title></circle>;
      })}
    </svg>
  );
}
