// What a warm-up's day must not come to, beside what today has come to so far.
import type { Schemas } from "../../api/client";
import { spoken, t, word } from "../../lib/text";
import { Badge, type Tone } from "../../parts/basic";

type Story = Schemas["WarmupStory"];
type Gate = NonNullable<Story["gates"]>[number];

function percent(share: number): string {
  return share.toLocaleString(spoken(), { style: "percent", maximumFractionDigits: 2 });
}

/** A rate of fewer is noise to the rules, too. */
const ATTEMPTS_MIN = 50;

function standing({ count, of, hold, back }: Gate): Tone {
  if (of < ATTEMPTS_MIN) return count > 0 ? "info" : "plain";
  const share = count / of;
  return share > back ? "bad" : share > hold ? "warn" : "good";
}

export function Gates({ story }: { story: Story }) {
  const { warmup, gates = [], accepted_min: least = 0 } = story;
  const accepted = warmup.volume === 0 ? 0 : warmup.accepted_today / warmup.volume;
  return (
    <ul className="steps">
      <li>
        <Badge tone={accepted >= least ? "good" : "info"}>{percent(accepted)}</Badge>
        <strong>{t("gates.accepted")}</strong>
        <span className="text faint">{t("gates.accepted_min", { share: percent(least) })}</span>
      </li>
      {gates.map((gate) => (
        <li key={gate.name}>
          <Badge tone={standing(gate)}>{gate.of === 0 ? "–" : percent(gate.count / gate.of)}</Badge>
          <strong>{word("gate", gate.name)}</strong>
          <span className="text faint">{t("gates.bounds", { hold: percent(gate.hold), back: percent(gate.back) })} · {t("gates.counted", { n: gate.count.toLocaleString(spoken()), of: gate.of.toLocaleString(spoken()) })}</span>
        </li>
      ))}
    </ul>
  );
}
