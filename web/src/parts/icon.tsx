// Line drawings of 24 by 24, drawn here so that none has to be fetched.
const PATHS = {
  home: "M4 11 12 4l8 7v8a1 1 0 0 1-1 1h-5v-6h-4v6H5a1 1 0 0 1-1-1z",
  mail: "M4 6h16v12H4zM4 7l8 6 8-6",
  queue: "M5 6h14M5 12h14M5 18h8",
  stop: "M5.6 5.6 18.4 18.4M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  gauge: "M4 18a9 9 0 1 1 16 0M12 14l4-5",
  book: "M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h11",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7M2.5 20a6.5 6.5 0 0 1 13 0M16 4.5a3.5 3.5 0 0 1 0 6.5M18 14.5a6.5 6.5 0 0 1 3.5 5.5",
  list: "M9 6h11M9 12h11M9 18h11M4 6h1M4 12h1M4 18h1",
  filter: "M4 5h16l-6 8v6l-4-2v-4z",
  upload: "M12 15V4m0 0L8 8m4-4 4 4M4 15v4a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-4",
  page: "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
  megaphone: "M4 10v4h3l8 4V6l-8 4zM18 9a4 4 0 0 1 0 6",
  globe: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M3 12h18M12 3a14 14 0 0 1 0 18 14 14 0 0 1 0-18",
  key: "M14.5 13a4.5 4.5 0 1 0-4-2.5L4 17v3h3v-2h2v-2h2l1.5-1.5",
  hook: "M9 16a4 4 0 1 1-4-4M15 16a4 4 0 1 0 1-4M12 5a4 4 0 0 1 3 6l-3 5M12 9l-3 5",
  user: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8M4.5 20a7.5 7.5 0 0 1 15 0",
  log: "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18",
  gear: "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6M12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.1 2.1M16.3 16.3l2.1 2.1M5.6 18.4l2.1-2.1M16.3 7.7l2.1-2.1",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14M20 20l-4-4",
  menu: "M4 6h16M4 12h16M4 18h16",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  check: "M5 12.5 10 17.5 19 7",
  warning: "M12 4 2.5 20h19zM12 10v4M12 17h.01",
  refresh: "M19 5v5h-5M5 19v-5h5M18 10a7 7 0 0 0-12-2M6 14a7 7 0 0 0 12 2",
  down: "M6 9l6 6 6-6",
  download: "M12 4v11m0 0 4-4m-4 4-4-4M4 19h16",
  copy: "M8 8h12v12H8zM16 8V4H4v12h4",
  moon: "M20 14a8 8 0 1 1-9-10 7 7 0 0 0 9 10",
  undo: "M9 5 4 10l5 5M4 10h10a6 6 0 0 1 0 12h-3",
  redo: "M15 5l5 5-5 5M20 10H10a6 6 0 0 0 0 12h3",
  grip: "M9 5h.01M15 5h.01M9 12h.01M15 12h.01M9 19h.01M15 19h.01",
  block_heading: "M6 5v14M18 5v14M6 12h12",
  block_text: "M4 6h16M4 11h16M4 16h10",
  block_image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9h.01",
  block_button: "M3 8h18v8H3zM8 12h8",
  block_divider: "M3 12h18",
  block_spacer: "M4 4h16M4 20h16M12 8v8M9.5 10 12 7.5 14.5 10M9.5 14l2.5 2.5 2.5-2.5",
  block_social: "M7 14a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M17 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M17 21a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M9.3 10.5l5.4-3.4M9.3 12.8l5.4 4",
  block_html: "M8 7l-5 5 5 5M16 7l5 5-5 5M13.5 5l-3 14",
  block_loop: "M4 12a7 7 0 0 1 12-5l3 3M19 5v5h-5M20 12a7 7 0 0 1-12 5l-3-3M5 19v-5h5",
  block_condition: "M12 3v6M12 9l-6 6v6M12 9l6 6v6",
  block_saved: "M6 3h12v18l-6-4-6 4z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth={name === "more" || name === "grip" ? 3 : 1.8} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
