//! The pieces of the template language within a text, found without knowing what they mean.

/// One piece, with its marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub kind: PieceKind,
    pub start: usize,
    /// With its marks.
    pub text: &'a str,
    /// What stands between the marks, and from which octet of the text.
    pub inner: &'a str,
    pub inner_start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// `{{ … }}`
    Output,
    /// `{% … %}`
    Statement,
    /// `{# … #}`
    Comment,
}

/// All pieces in their order; or the octet at which one begins that has no end.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, usize> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('{') {
        let start = at + found;
        let (kind, close) = match text.as_bytes().get(start + 1) {
            Some(b'{') => (PieceKind::Output, "}}"),
            Some(b'%') => (PieceKind::Statement, "%}"),
            Some(b'#') => (PieceKind::Comment, "#}"),
            _ => {
                at = start + 1;
                continue;
            }
        };
        let inner_start = start + 2;
        let length = if kind == PieceKind::Comment {
            text[inner_start..].find(close)
        } else {
            end(&text[inner_start..], close)
        };
        let inner_end = inner_start + length.ok_or(start)?;
        at = inner_end + 2;
        let inner = &text[inner_start..inner_end];
        pieces.push(Piece { kind, start, text: &text[start..at], inner, inner_start });
    }
    Ok(pieces)
}

/// The closing mark outside of quotes.
fn end(text: &str, close: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut quote, mut at) = (None, 0);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), octet) if octet == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(bytes[at]),
            (None, _) if text.is_char_boundary(at) && text[at..].starts_with(close) => {
                return Some(at);
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The inner text with what stands in quotes blanked, octet for octet.
pub fn unquoted(inner: &str) -> String {
    let (mut quote, mut is_escaped) = (None, false);
    let blanked = inner.bytes().map(|octet| match quote {
        Some(open) => {
            quote = if octet == open && !is_escaped { None } else { quote };
            is_escaped = octet == b'\\' && !is_escaped;
            ' '
        }
        None if octet == b'"' || octet == b'\'' => {
            quote = Some(octet);
            ' '
        }
        None => char::from(if octet.is_ascii() { octet } else { b'_' }),
    });
    blanked.collect()
}

/// The words of an unquoted text with their places.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_of_word = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !is_of_word(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_of_word(bytes[at]) {
            at += 1;
        }
        (at > start).then(|| (start, &text[start..at]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_at_their_marks_and_not_within_quotes() {
        let text = "a {{ x|default('}}') }} {% if a == \"%}\" %} { {# '#} ü {{y}}";
        let found: Vec<_> = pieces(text).expect("closed").iter().map(|piece| piece.text).collect();
        let expected = ["{{ x|default('}}') }}", "{% if a == \"%}\" %}", "{# '#}", "{{y}}"];
        assert_eq!(found, expected);
        assert_eq!(pieces("ab {{ x }"), Err(3));
        assert_eq!(pieces("{{ 'x }}"), Err(0));
    }

    #[test]
    fn what_stands_in_quotes_is_blanked() {
        assert_eq!(unquoted("a ~ \"x ~ \\\" y\" ~ b"), "a ~            ~ b");
        let found: Vec<_> = words("for x_1 in y.z").map(|(_, word)| word).collect();
        assert_eq!(found, ["for", "x_1", "in", "y", "z"]);
    }
}
