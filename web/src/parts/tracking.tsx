// What submitted mail tells of its readers that does not say so itself: of a stream, of a domain.
import type { Schemas } from "../api/client";
import { t, word } from "../lib/text";
import { Form, type Values } from "./form";
import { tell } from "./toast";
import { options } from "./words";

type Tracking = Schemas["Tracking"];

const WAYS: Tracking[] = ["none", "opens", "clicks", "both"];

interface Props {
  said: Tracking | null | undefined;
  /** What holds while nothing is said here. */
  unsaid: string;
  text: string;
  readonly: boolean;
  save: (tracking: Tracking | null) => Promise<void>;
  cancel?: () => void;
}

export function TrackingForm({ said, unsaid, text, readonly, save, cancel }: Props) {
  if (readonly) return <p>{said ? word("tracking_way", said) : unsaid} <span className="faint">{text}</span></p>;
  const submit = async (values: Values) => {
    const way = WAYS.find((one) => one === values.tracking) ?? null;
    await save(way);
    tell(t("act.saved"));
  };
  return <Form fields={[{ name: "tracking", label: t("tracking.tells"), kind: "select", options: [["", unsaid], ...options("tracking_way", WAYS)], value: said ?? "", hint: text }]} button={t("act.save")} submit={submit} cancel={cancel} />;
}
