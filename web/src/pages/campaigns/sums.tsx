// Where everybody of an audience is; the parts always add up to the whole.
import type { Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { Badge, type Tone } from "../../parts/basic";

type Parts = Schemas["CampaignView"]["sums"];

const ORDER: [keyof Parts, Tone][] = [["delivered", "good"], ["waiting", "info"], ["planned", "plain"], ["held", "warn"], ["suppressed", "warn"], ["failed", "bad"], ["expired", "bad"], ["cancelled", "bad"], ["removed", "plain"]];

export function Sums({ sums, small }: { sums: Parts; small?: boolean }) {
  const all = ORDER.reduce((sum, [name]) => sum + sums[name], 0);
  const share = (name: keyof Parts) => (all === 0 ? 0 : (sums[name] / all) * 100);
  const drawn: (keyof Parts)[] = ["delivered", "suppressed", "held", "failed", "expired", "cancelled"];
  const tone = new Map(ORDER);
  const done = all === 0 ? 0 : Math.floor(((all - sums.planned - sums.waiting - sums.held) / all) * 100);
  return (
    <div className="stack tight" style={{ minWidth: small ? "9rem" : undefined }}>
      <div className="bar" role="progressbar" aria-label={t("campaigns.progress")} aria-valuenow={done} aria-valuemin={0} aria-valuemax={100}>
        {drawn.map((name) => <i key={name} className={tone.get(name)} style={{ width: `${share(name)}%` }} />)}
      </div>
      {small ? <span className="faint">{t("campaigns.done", { done, delivered: sums.delivered })}</span> : (
        <div className="row">
          {ORDER.filter(([name]) => sums[name] > 0).map(([name, tone]) => <Badge key={name} tone={tone}>{word("sums", name)}: {sums[name].toLocaleString()}</Badge>)}
        </div>
      )}
    </div>
  );
}
