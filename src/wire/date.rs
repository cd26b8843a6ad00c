//! Dates as mails carry them.
//!
//! Owns:       the RFC 5322 §3.3 form, and the forms a submitter may write a moment in.
//! Promises:   what it prints is UTC and reads back to the second.
//! Knows not:  what time it is.

use crate::model::Timestamp;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Of a date in a header field; longer ones are no dates.
const TEXT_BYTES_MAX: usize = 100;
/// Eleven digits reach the year 5138.
const EPOCH_DIGITS_MAX: usize = 11;

/// `Mon, 23 Nov 2026 07:09:22 +0000`. A moment that jiff cannot name prints as 1970.
pub fn rfc5322(at: Timestamp) -> String {
    let moment = jiff::Timestamp::from_second(at.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let civil = jiff::tz::Offset::UTC.to_datetime(moment);
    let day = usize::from(civil.weekday().to_monday_zero_offset().unsigned_abs());
    let month = usize::from(civil.month().unsigned_abs()) - 1;
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} +0000",
        DAYS[day % 7],
        civil.day(),
        MONTHS[month % 12],
        civil.year(),
        civil.hour(),
        civil.minute(),
        civil.second()
    )
}

/// Reads seconds since 1970, an RFC 3339 time with offset, or an RFC 5322 date.
pub fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let lawful = text.len() <= EPOCH_DIGITS_MAX;
        return if lawful { text.parse().ok().map(Timestamp::from_seconds) } else { None };
    }
    let moment = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text))
        .ok()?;
    Some(Timestamp(moment.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_as_rfc_5322_wants_it() {
        assert_eq!(rfc5322(Timestamp(0)), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(
            rfc5322(Timestamp::from_seconds(1_795_417_762)),
            "Mon, 23 Nov 2026 07:09:22 +0000"
        );
        assert!(!rfc5322(Timestamp(i64::MAX)).is_empty());
    }

    #[test]
    fn three_forms_of_the_same_moment_read_alike() {
        let moment = Some(Timestamp::from_seconds(1_795_417_762));
        for text in [
            "1795417762",
            "2026-11-23T07:09:22Z",
            "2026-11-23T08:09:22+01:00",
            "Mon, 23 Nov 2026 07:09:22 +0000",
            " Mon, 23 Nov 2026 02:09:22 -0500 ",
            "23 Nov 2026 07:09:22 GMT",
        ] {
            assert_eq!(read(text), moment, "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "tomorrow", "-5", "2026-11-23", "2026-11-23T07:09:22", "999999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
