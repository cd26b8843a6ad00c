//! What was said, for the log of attempts that did not succeed, and of those that are traced.
//!
//! Owns:       the form of the record: `>` ours, `<` theirs, `!` what happened between.
//! Promises:   bounded; no secret and no body; costs nothing for a transaction that succeeds.
//! Knows not:  what any of it means.

use super::Dialogue;
use crate::model::Reply;

const LINES_MAX: usize = 100;
const LINE_BYTES_MAX: usize = 512;

impl Dialogue {
    pub(super) fn ours(&mut self, command: &str) {
        self.push("> ", command.trim_end());
    }

    pub(super) fn theirs(&mut self, reply: &Reply) {
        let last = reply.lines.len().saturating_sub(1);
        for (number, text) in reply.lines.iter().enumerate() {
            let separator = if number == last { ' ' } else { '-' };
            self.push("< ", &format!("{:03}{separator}{text}", reply.code));
        }
    }

    pub(super) fn note(&mut self, what: &str) {
        self.push("! ", what);
    }

    fn push(&mut self, mark: &str, text: &str) {
        if self.lines.len() >= LINES_MAX {
            return;
        }
        if self.lines.len() == LINES_MAX - 1 {
            self.lines.push("! and more".into());
            return;
        }
        let text = &text[..text.floor_char_boundary(LINE_BYTES_MAX - mark.len())];
        self.lines.push([mark, text].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_an_end_whatever_is_said() {
        let mut dialogue = Dialogue::default();
        for _ in 0..300 {
            dialogue.ours(&format!("RCPT TO:<{}>\r\n", "ü".repeat(900)));
            dialogue.theirs(&Reply { code: 250, lines: vec!["a".into(), "b".into()] });
        }
        assert_eq!(dialogue.lines.len(), LINES_MAX);
        assert!(dialogue.lines.iter().all(|line| line.len() <= LINE_BYTES_MAX));
        assert_eq!(dialogue.lines[1..3], ["< 250-a", "< 250 b"]);
    }
}
