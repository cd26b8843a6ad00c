// How the certificate of an organization's host stands: who gave it, until when it holds, what the
// authority said.
import { useState } from "react";
import type { Schemas } from "../../api/client";
import { t, word } from "../../lib/text";
import { moment } from "../../lib/time";
import { Badge, Button, Notice, Pairs, type Tone, When } from "../../parts/basic";
import { explain } from "../../parts/state";
import { tell } from "../../parts/toast";

type Certificate = Schemas["HostCertificate"];

export type Standing = "unknown" | "unasked" | "awaited" | "failed" | "over" | "holds";

const TONES: Record<Standing, Tone> = { unknown: "plain", unasked: "bad", awaited: "info", failed: "bad", over: "bad", holds: "good" };

/** What to say of it in a word, at a moment. */
export function standingOf(certificate: Certificate | null | undefined, now: number): Standing {
  if (!certificate) return "unknown";
  const { valid_until: until } = certificate;
  if (until != null && until > now) return "holds";
  if (certificate.last_error) return "failed";
  if (until != null) return "over";
  return certificate.origin === "none" ? "unasked" : "awaited";
}

export function HostCertificate({ certificate, again }: { certificate: Certificate | null | undefined; again: () => Promise<unknown> }) {
  const standing = standingOf(certificate, Date.now() * 1000);
  return (
    <section className="stack tight" aria-label={t("certificate.title")}>
      <div className="head">
        <h3>{t("certificate.title")}</h3>
        <Badge tone={TONES[standing]}>{word("certificate_is", standing)}</Badge>
      </div>
      {certificate ? <Facts certificate={certificate} again={again} /> : <p className="faint">{t("certificate.unknown")}</p>}
    </section>
  );
}

function Facts({ certificate, again }: { certificate: Certificate; again: () => Promise<unknown> }) {
  const [busy, setBusy] = useState(false);
  const ask = async () => {
    setBusy(true);
    try {
      await again();
    } catch (error) {
      tell(explain(error), true);
    } finally {
      setBusy(false);
    }
  };
  const isAsked = certificate.origin === "authority";
  return (
    <>
      <p className="faint">{word("certificate_from", certificate.origin)}</p>
      <Pairs of={[
        [t("certificate.since"), certificate.valid_from == null ? null : moment(certificate.valid_from)],
        [t("certificate.until"), certificate.valid_until == null ? null : moment(certificate.valid_until)],
        [t("certificate.tried"), certificate.tried_at == null ? null : <When key="t" at={certificate.tried_at} />],
        [t("certificate.again_at"), certificate.again_at == null ? null : <When key="a" at={certificate.again_at} />],
      ]} />
      {certificate.last_error && <Notice tone="bad">{t("certificate.failed", { n: certificate.failures, why: certificate.last_error })}</Notice>}
      {isAsked && <div><Button small icon="refresh" busy={busy} onClick={() => void ask()}>{t("certificate.ask")}</Button></div>}
    </>
  );
}
