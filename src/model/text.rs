//! Text that has a maximum.

/// At most so many octets, cut between characters.
pub fn clipped_to(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(clipped_to("grün".into(), 3), "gr");
        assert_eq!(clipped_to("grün".into(), 4), "grü");
        assert_eq!(clipped_to("grün".into(), 40), "grün");
    }
}
