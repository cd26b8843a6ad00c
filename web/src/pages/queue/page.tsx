// What is owed: why it waits, the deliveries themselves, and the lanes that work on them.
import { useSession } from "../../lib/session";
import { t } from "../../lib/text";
import { PageHead } from "../../parts/basic";
import { Tabs } from "../../parts/tabs";
import { Deliveries } from "./deliveries";
import { Lanes } from "./lanes";
import { Reasons } from "./reasons";

export function Page() {
  const { may } = useSession();
  const lanes = { name: "lanes", title: t("queue.lanes"), draw: () => <Lanes /> };
  const tabs = [
    { name: "why", title: t("queue.why"), draw: () => <Reasons /> },
    { name: "deliveries", title: t("queue.deliveries"), draw: () => <Deliveries /> },
    ...(may("delivery_read") ? [lanes] : []),
  ];
  return (
    <>
      <PageHead title={t("queue.title")} text={t("queue.text")} />
      <Tabs label={t("queue.title")} tabs={tabs} />
    </>
  );
}
