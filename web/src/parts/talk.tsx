// Text as it came over the wire; what scrolls can be reached by keyboard.
export function Talk({ text, label }: { text: string; label: string }) {
  return (
    // biome-ignore lint: what scrolls must be reachable by keyboard
    <pre className="talk" tabIndex={0} role="group" aria-label={label}>{text}</pre>
  );
}
