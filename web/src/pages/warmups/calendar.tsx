// What every warm-up may send on each of the coming days, and all of them together.
import { api } from "../../api/client";
import { spoken, t } from "../../lib/text";
import type { Column } from "../../parts/list";
import { Series } from "../../parts/series";
import { Empty, Shown } from "../../parts/state";
import { Card } from "../../parts/basic";
import { Table } from "../../parts/table";
import { useSubjects, type Warmup } from "./page";

const DAYS = 30;
const SHOWN_DAYS = 14;

function dayName(at: number): string {
  const date = new Date();
  date.setDate(date.getDate() + at);
  return date.toLocaleDateString(spoken(), { day: "numeric", month: "short" });
}

/** After its last day a source is warm, and no plan holds it back. */
function volume(warmup: Warmup, day: number): number | null {
  return warmup.calendar[day] ?? null;
}

export function Calendar() {
  const warmups = api.useQuery("get", "/v1/warmups", {}, { refetchInterval: 30_000 });
  const name = useSubjects();
  return (
    <Shown of={warmups}>
      {({ items }) => {
        const going = items.filter((one) => one.calendar.length > 0 && ["running", "paused", "frozen"].includes(one.state));
        const columns: Column<Warmup>[] = [
          { title: t("warmups.subject"), cell: (row) => `${name(row)} → ${row.operator}` },
          ...Array.from({ length: SHOWN_DAYS }, (_, day): Column<Warmup> => ({ title: day === 0 ? t("warmups.today") : dayName(day), cell: (row) => volume(row, day)?.toLocaleString() ?? t("warmups.warm"), text: (row) => String(volume(row, day) ?? ""), number: true })),
        ];
        const empty = <Empty title={t("warmups.none_going")} text={t("warmups.none_going_text")} />;
        if (going.length === 0) return <Card>{empty}</Card>;
        const length = Math.min(DAYS, Math.max(...going.map((one) => one.calendar.length)));
        const days = Array.from({ length }, (_, day) => day);
        return (
          <>
            <Card title={t("warmups.all_days")}>
              <Series label={t("warmups.all_days")} names={days.map(dayName)} series={[{ name: t("warmups.planned"), colour: "accent", values: days.map((day) => going.reduce((sum, one) => sum + (volume(one, day) ?? 0), 0)) }]} />
            </Card>
            <Table name="warmup-calendar" title={t("warmups.calendar_of")} rows={going} columns={columns} id={(row) => row.id} empty={empty} />
          </>
        );
      }}
    </Shown>
  );
}
