//! The words, numbers, texts and signs of a segment.

use super::expression::{Fault, Spot};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A bare word, a number, a date.
    Word(String),
    /// In quotes.
    Text(String),
    Sign(&'static str),
    End,
}

/// Longer ones first.
const SIGNS: [&str; 10] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","];

pub fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Fault> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let start = at;
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if let Some(sign) = SIGNS.iter().find(|sign| text[at..].starts_with(**sign)) {
            at += sign.len();
            tokens.push((start, Token::Sign(sign)));
        } else if first == '"' || first == '\'' {
            let (value, length) = quoted(&text[at..], first)
                .ok_or_else(|| Fault::at(&Spot::Offset(at), "this text is not closed"))?;
            at += length;
            tokens.push((start, Token::Text(value)));
        } else if is_of_word(first) {
            let length = text[at..].find(|c| !is_of_word(c)).unwrap_or(text.len() - at);
            at += length;
            tokens.push((start, Token::Word(text[start..at].to_owned())));
        } else {
            let why = format!("'{first}' means nothing here; texts stand in quotes");
            return Err(Fault::at(&Spot::Offset(at), why));
        }
    }
    tokens.push((text.len(), Token::End));
    Ok(tokens)
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '+' | ':' | '@' | '/')
}

/// The text and the octets it took. A backslash takes the next letter as it is.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            letter if letter == quote => return Some((value, at + letter.len_utf8())),
            letter => value.push(letter),
        }
    }
    None
}
