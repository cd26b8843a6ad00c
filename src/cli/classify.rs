//! `postroad classify`: what replies mean, without a daemon.
//!
//! Owns:       reading replies from standard input, a JSON line for each, the table of classes.
//! Promises:   one line out for one line in, in order, whatever stands in it.
//! Knows not:  rules.

use std::io::{BufRead, Read, Write};

use clap::Args;
use serde::Serialize;

use super::CliError;
use crate::classify::{Answer, Classifier, operator_named};
use crate::model::{Category, Class, Classification};

/// Of a line; what is behind it is passed over.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Say what replies mean, one a line from standard input, as JSON lines in the same order.
#[derive(Args)]
#[command(after_long_help = CLASSES)]
pub struct Classify {
    /// Who runs the host that answered: google, microsoft, yahoo …
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
}

/// For each class its category, how long an address is not written to again after a refusal for
/// good, and the waits between tries.
const CLASSES: &str = "\
class                category      hard      retried as
mailbox_invalid      bad_mailbox   for good  default
mailbox_inactive     inactive      365 days  default
mailbox_full         mailbox_full  -         mailbox_full
domain_invalid       bad_host      90 days   default
host_misconfigured   bad_host      -         default
greylist             rate          -         greylist
rate_connections     rate          -         rate
rate_messages        rate          -         rate
rate_recipient       rate          -         rate
reputation_address   policy        -         reputation
reputation_domain    policy        -         reputation
blocklisted          policy        -         reputation
authentication       policy        -         default
source_misconfigured policy        -         default
sender_refused       policy        -         default
relay_denied         policy        -         default
policy               policy        -         default
content              spam_content  -         default
content_url          spam_content  -         default
virus                spam_content  -         default
malformed            policy        -         default
too_big              too_big       -         default
dns                  network       -         dns
network              network       -         network
tls                  network       -         tls
loop                 network       -         default
protocol             system        -         default
system               system        -         default
expired              network       -         default
unknown              unknown       -         default

Hard: the address must not be written to again, for so long. Only a refusal for good (5xx, or a text
without a code) by a rule with a confidence of 0.8 or more is hard; a 4xx never is.
";

/// One line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    category: Category,
    class: Class,
    hard: bool,
    rule: &'a str,
    confidence: f64,
}

impl<'a> From<&'a Classification> for Line<'a> {
    fn from(record: &'a Classification) -> Line<'a> {
        let Classification { category, class, hard, rule, confidence, .. } = record;
        Line { category: *category, class: *class, hard: *hard, rule, confidence: *confidence }
    }
}

pub fn run(classify: &Classify) -> Result<(), CliError> {
    let classifier = Classifier::shipped().map_err(|why| CliError::Refused(why.to_string()))?;
    let operator = classify.operator.as_deref();
    if let Some(name) = operator.filter(|name| operator_named(name).is_none()) {
        eprintln!("postroad: no rules are known for {}", super::screen::lines(name));
    }
    let mut input = std::io::stdin().lock();
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    while read_line(&mut input, &mut line)? {
        let text = String::from_utf8_lossy(&line);
        let record = classifier.classify(operator, &Answer::read(&text));
        let answer = serde_json::to_string(&Line::from(record.as_ref()))
            .map_err(|why| CliError::Answer(why.to_string()))?;
        writeln!(output, "{answer}")?;
        // Who types waits for the answer; who pipes does not.
        if input.fill_buf().is_ok_and(<[u8]>::is_empty) || std::io::IsTerminal::is_terminal(&input)
        {
            output.flush()?;
        }
    }
    Ok(output.flush()?)
}

/// False at the end. A line's end is taken off; a line that is too long is cut.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)?;
    if line.pop_if(|last| *last == b'\n').is_none() && read as u64 == LINE_BYTES_MAX {
        input.skip_until(b'\n')?;
    }
    line.pop_if(|last| *last == b'\r');
    Ok(read > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_classes_is_true() {
        let rows = Class::ALL.iter().map(|class| {
            let hard = match class.suppress().map(|suppress| suppress.days) {
                None => "-".to_owned(),
                Some(None) => "for good".to_owned(),
                Some(Some(days)) => format!("{days} days"),
            };
            format!("{class:20} {:13} {hard:9} {}", class.category(), class.retry())
        });
        let table: Vec<&str> = CLASSES.lines().skip(1).take(Class::ALL.len()).collect();
        assert_eq!(table, rows.collect::<Vec<_>>());
    }

    #[test]
    fn a_line_too_long_is_cut_and_the_next_is_still_the_next() {
        let mut text = vec![b'x'; 200_000];
        text.extend_from_slice(b"\n550 next\r\n\nlast");
        let mut input = std::io::BufReader::new(text.as_slice());
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while read_line(&mut input, &mut line).expect("memory reads") {
            lines.push(line.len());
        }
        assert_eq!(lines, [LINE_BYTES_MAX as usize, 8, 0, 4]);
    }
}
