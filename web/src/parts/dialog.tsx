// Windows over the page: a form, a question. Escape closes them; the focus stays inside.
import { Dialog as Kit } from "radix-ui";
import { type ReactNode, useState } from "react";
import { t } from "../lib/text";
import { Button } from "./basic";
import { explain } from "./state";

interface Props {
  open: boolean;
  close: () => void;
  title: string;
  text?: ReactNode;
  broad?: boolean;
  children: ReactNode;
}

export function Dialog({ open, close, title, text, broad, children }: Props) {
  return (
    <Kit.Root open={open} onOpenChange={(now) => !now && close()}>
      <Kit.Portal>
        <Kit.Overlay className="veil" />
        <Kit.Content className={broad ? "dialog broad" : "dialog"} {...(text ? {} : { "aria-describedby": undefined })}>
          <div className="head">
            <Kit.Title asChild>
              <h2>{title}</h2>
            </Kit.Title>
            <Kit.Close asChild>
              <Button small look="quiet" icon="close" aria-label={t("act.close")} />
            </Kit.Close>
          </div>
          {text && <Kit.Description asChild><div className="faint">{text}</div></Kit.Description>}
          {children}
        </Kit.Content>
      </Kit.Portal>
    </Kit.Root>
  );
}

interface Question {
  title: string;
  /** What will happen, and to how many. */
  text: ReactNode;
  button: string;
  danger?: boolean;
  act: () => Promise<unknown>;
}

/** Asks before something is done that cannot be taken back. */
export function useQuestion(): [(question: Question) => void, ReactNode] {
  const [question, setQuestion] = useState<Question | null>(null);
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  const ask = (next: Question) => {
    setWrong(null);
    setQuestion(next);
  };
  const act = async () => {
    if (!question) return;
    setBusy(true);
    try {
      await question.act();
      setQuestion(null);
    } catch (error) {
      setWrong(explain(error));
    } finally {
      setBusy(false);
    }
  };
  const drawn = question && (
    <Dialog open close={() => setQuestion(null)} title={question.title} text={question.text}>
      {wrong && <p className="field"><span className="wrong" role="alert">{wrong}</span></p>}
      <div className="ends">
        <Button onClick={() => setQuestion(null)}>{t("act.cancel")}</Button>
        <Button look={question.danger ? "danger" : "main"} className={question.danger ? "main-one" : ""} busy={busy} onClick={act}>
          {question.button}
        </Button>
      </div>
    </Dialog>
  );
  return [ask, drawn];
}
