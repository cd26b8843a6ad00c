// A button that opens a form in a window, and renews the lists when it was sent.
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Button } from "./basic";
import { Dialog } from "./dialog";
import { type Field, Form, type Values } from "./form";
import { tell } from "./toast";
import { t } from "../lib/text";

interface FormWindow {
  title: string;
  text?: ReactNode;
  fields: Field[];
  button: string;
  /** What is to be shown afterwards, such as a secret; otherwise the window closes. */
  submit: (values: Values) => Promise<ReactNode | undefined | void>;
  done?: string;
  broad?: boolean;
  danger?: boolean;
  children?: ReactNode | ((values: Values) => ReactNode);
}

export function FormDialog({ close, ...form }: FormWindow & { close: () => void }) {
  const [shown, setShown] = useState<ReactNode>(null);
  const queryClient = useQueryClient();
  const submit = async (values: Values) => {
    const after = await form.submit(values);
    await queryClient.invalidateQueries();
    if (after) return setShown(after);
    if (form.done) tell(form.done);
    close();
  };
  return (
    <Dialog open close={close} title={form.title} text={shown ? undefined : form.text} broad={form.broad}>
      {shown ? (
        <>
          {shown}
          <div className="ends"><Button look="main" onClick={close}>{t("act.done")}</Button></div>
        </>
      ) : (
        <Form fields={form.fields} danger={form.danger} button={form.button} submit={submit} cancel={close}>{form.children}</Form>
      )}
    </Dialog>
  );
}

export function Maker(form: FormWindow & { label: string }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button look="main" icon="plus" onClick={() => setOpen(true)}>{form.label}</Button>
      {open && <FormDialog {...form} close={() => setOpen(false)} />}
    </>
  );
}
