// Makes src/pages/campaigns/world.json: the outlines of countries, and a point for each that is too
// small for one, in the Equal Earth projection. Run by hand when borders are to be drawn anew:
//
//   npm install --no-save world-atlas@2.0.2 i18n-iso-countries@7.14.0 && node tools/world.mjs
//
// The shapes are those of Natural Earth (public domain), as world-atlas (ISC) packs them.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const web = join(import.meta.dirname, "..");
const need = createRequire(join(process.env.MODULES ?? web, "package.json"));
const { numericToAlpha2 } = need("i18n-iso-countries");

const WIDTH = 1000;
// What has no code of its own counts as the country that databases of addresses name there.
const UNCODED = { "N. Cyprus": "CY", Somaliland: "SO", Kosovo: "XK" };
// Nobody reads mail there, and it would take a quarter of the height.
const LEFT_OUT = new Set(["AQ"]);

function equalEarth([longitude, latitude]) {
  const [a1, a2, a3, a4] = [1.340264, -0.081106, 0.000893, 0.003796];
  const root = Math.sqrt(3) / 2;
  const theta = Math.asin(root * Math.sin((latitude * Math.PI) / 180));
  const [t2, t6] = [theta ** 2, theta ** 6];
  const x = ((longitude * Math.PI) / 180) * Math.cos(theta) / (root * (a1 + 3 * a2 * t2 + t6 * (7 * a3 + 9 * a4 * t2)));
  return [x, -theta * (a1 + a2 * t2 + t6 * (a3 + a4 * t2))];
}

/** The ends of the projection: its width, and the height from Greenland to Cape Horn. */
const edge = equalEarth([180, 0])[0];
const scale = WIDTH / (2 * edge);
const top = equalEarth([0, 83.7])[1];
const place = (point) => {
  const [x, y] = equalEarth(point);
  return [Math.round((x + edge) * scale), Math.round((y - top) * scale)];
};

/** The lines of a topology, its steps added up. */
function arcsOf({ arcs, transform: { scale: [sx, sy], translate: [tx, ty] } }) {
  return arcs.map((arc) => {
    let [x, y] = [0, 0];
    return arc.map(([dx, dy]) => {
      [x, y] = [x + dx, y + dy];
      return [x * sx + tx, y * sy + ty];
    });
  });
}

function rings(geometry, arcs) {
  const polygons = geometry.type === "Polygon" ? [geometry.arcs] : geometry.type === "MultiPolygon" ? geometry.arcs : [];
  const line = (at) => (at < 0 ? [...arcs[~at]].reverse() : arcs[at]);
  return polygons.flat().map((ring) => ring.flatMap(line));
}

/** Twice where it crosses the meridian opposite of Greenwich: once beyond the right edge, once beyond
 * the left one; what lies outside is cut off by the picture's frame. */
function path(ring) {
  const whole = ring.map(([longitude, latitude]) => [longitude, latitude]);
  for (let at = 1; at < whole.length; at += 1) {
    const step = whole[at][0] - whole[at - 1][0];
    if (Math.abs(step) > 180) whole[at][0] -= Math.sign(step) * 360;
  }
  const crosses = whole.some(([longitude]) => Math.abs(longitude) > 180.001);
  if (!crosses) return line(whole);
  const side = whole.some(([longitude]) => longitude > 180.001) ? -360 : 360;
  return line(whole) + line(whole.map(([longitude, latitude]) => [longitude + side, latitude]));
}

function line(ring) {
  const points = ring.map(place).filter(([x, y], at, all) => at === 0 || x !== all[at - 1][0] || y !== all[at - 1][1]);
  if (points.length < 4) return "";
  const [[x, y], ...rest] = points;
  let [px, py] = [x, y];
  const steps = rest.slice(0, -1).map(([nx, ny]) => {
    const step = `${nx - px},${ny - py}`;
    [px, py] = [nx, ny];
    return step;
  });
  return `M${x},${y}l${steps.join(" ")}z`;
}

function load(name) {
  const topology = JSON.parse(readFileSync(need.resolve(`world-atlas/${name}`), "utf8"));
  const arcs = arcsOf(topology);
  const named = topology.objects.countries.geometries.map((geometry) => [geometry.id ? numericToAlpha2(geometry.id) : UNCODED[geometry.properties.name], rings(geometry, arcs)]);
  return named.filter(([code]) => code && !LEFT_OUT.has(code));
}

function middle(found) {
  const points = found.sort((a, b) => b.length - a.length)[0];
  return place([0, 1].map((at) => points.reduce((sum, point) => sum + point[at], 0) / points.length));
}

const outlines = {};
for (const [code, found] of load("countries-110m.json")) outlines[code] = (outlines[code] ?? "") + found.map(path).join("");
const points = {};
for (const [code, found] of load("countries-50m.json")) if (!outlines[code]) points[code] = middle(found);
const height = Math.ceil((equalEarth([0, -56])[1] - top) * scale);
const sorted = (of) => `{\n${Object.keys(of).sort().map((code) => `  "${code}": ${JSON.stringify(of[code])}`).join(",\n")}\n}`;
writeFileSync(join(web, "src/pages/campaigns/world.json"), `{"source": "Natural Earth (public domain)", "width": ${WIDTH}, "height": ${height}, "outlines": ${sorted(outlines)}, "points": ${sorted(points)}}\n`);
