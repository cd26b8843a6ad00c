// A new mail in the visual editor.
import { useState } from "react";
import { Edit } from "./one";
import { firstDocument } from "./visual/starters";

export function Page() {
  const [body] = useState(() => JSON.stringify(firstDocument()));
  return <Edit input={{ name: "", kind: "document", subject: "", body }} />;
}
