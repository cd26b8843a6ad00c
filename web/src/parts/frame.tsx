// HTML of a mail, in a frame that runs no script, keeps no cookie and asks no other host.
import { useState } from "react";
import { t } from "../lib/text";
import { Button } from "./basic";

const DARK = "<style>:root{color-scheme:dark}body{background:#1c1c1e;color:#eee}</style>";

export function MailFrame({ html, title }: { html: string; title: string }) {
  const [phone, setPhone] = useState(false);
  const [dark, setDark] = useState(false);
  return (
    <div className="stack tight">
      <fieldset className="row" aria-label={t("frame.as")}>
        <Button small aria-pressed={!phone} look={phone ? "quiet" : undefined} onClick={() => setPhone(false)}>{t("frame.desktop")}</Button>
        <Button small aria-pressed={phone} look={phone ? undefined : "quiet"} onClick={() => setPhone(true)}>{t("frame.phone")}</Button>
        <Button small aria-pressed={dark} look={dark ? undefined : "quiet"} icon="moon" onClick={() => setDark(!dark)}>{t("frame.dark")}</Button>
      </fieldset>
      <iframe className={["letter", phone && "phone", dark && "dark"].filter(Boolean).join(" ")} sandbox="" title={title} srcDoc={dark ? DARK + html : html} />
    </div>
  );
}
