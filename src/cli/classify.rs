//! `postroad classify`: what replies mean; own rules; answers that no rule knows.
//!
//! Owns:       reading replies from standard input, a JSON line for each, the table of classes.
//! Promises:   one line out for one line in, in order, whatever stands in it.
//! Knows not:  how rules decide.

use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Desk, percent_encode};
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::classification::{OwnRule, Removed};
use crate::classify::{Answer, Changed, Classifier, Rule, RuleError, Trial, operator_named};
use crate::config::Settings;
use crate::model::{Category, Class, Classification};
use crate::store::UnclassifiedReply;
use crate::telemetry::harmless;

/// Of a line; what is behind it is passed over.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Say what replies mean, one a line from standard input, as JSON lines in the same order.
#[derive(Args)]
#[command(after_long_help = CLASSES, args_conflicts_with_subcommands = true)]
pub struct Classify {
    /// Who runs the host that answered: google, microsoft, yahoo …
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// By the installation's own rules before those that ship.
    #[arg(long)]
    own: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The installation's own rules, tried before those that ship.
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Answers that no rule knows, grouped, the most frequent first.
    Unclassified {
        /// At most so many.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum RuleCommand {
    /// Try a rule on the replies of the last days; nothing is changed.
    Try {
        /// A TOML file with one rule: id, class, confidence, phrases, samples …
        file: PathBuf,
        #[arg(long, default_value_t = 7, value_name = "N")]
        days: u32,
        #[arg(long)]
        json: bool,
    },
    /// Add a rule; it holds from the next answer on.
    Add { file: PathBuf },
    /// List own rules, in the order in which they are tried.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Remove an own rule.
    Remove { id: String },
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

/// `settings` are read only where the daemon is asked.
pub fn run(
    classify: Classify,
    settings: impl FnOnce() -> Result<Settings, CliError>,
) -> Result<(), CliError> {
    let Some(command) = classify.command else {
        return classify_lines(&classifier(classify.own, settings)?, classify.operator);
    };
    let settings = settings()?;
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = match command {
            Command::Unclassified { limit, json } => unclassified(&desk, limit, json).await,
            Command::Rule(RuleCommand::Try { file, days, json }) => {
                try_out(&desk, &file, days, json).await
            }
            Command::Rule(RuleCommand::Add { file }) => {
                let body = Some(rule_in(&file)?);
                let own: OwnRule = desk.ask(Method::POST, "/v1/classification/rules", body).await?;
                screen::print(&format!("added: {}\n", harmless(&own.rule.id)))
            }
            Command::Rule(RuleCommand::List { json }) => list(&desk, json).await,
            Command::Rule(RuleCommand::Remove { id }) => {
                let path = format!("/v1/classification/rules/{}", percent_encode(&id));
                let removed: Removed = desk.ask(Method::DELETE, &path, None).await?;
                screen::print(&format!("removed: {}\n", harmless(&removed.id)))
            }
        };
        desk.close().await;
        done
    })
}

/// One rule in TOML, as JSON.
fn rule_in(file: &Path) -> Result<Value, CliError> {
    let text = std::fs::read_to_string(file)?;
    let refused = |why: String| CliError::Refused(format!("{}: {why}", file.display()));
    let rule: Rule = toml::from_str(&text).map_err(|why| refused(why.to_string()))?;
    serde_json::to_value(rule).map_err(|why| refused(why.to_string()))
}

async fn unclassified(desk: &Desk, limit: u32, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/classification/unclassified?limit={limit}");
    let page: Page<UnclassifiedReply> = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&page);
    }
    let row = |reply: &UnclassifiedReply| {
        let UnclassifiedReply { operator, sample, count, last_seen_at, .. } = reply;
        vec![count.to_string(), last_seen_at.to_string(), operator.clone(), sample.clone()]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen::print(&screen::table(&["count", "last", "operator", "sample"], &rows))
}

async fn try_out(desk: &Desk, file: &Path, days: u32, json: bool) -> Result<(), CliError> {
    let body = json!({"rule": rule_in(file)?, "days": days});
    let path = "/v1/classification/rules/try";
    let trial: Trial = desk.ask(Method::POST, path, Some(body)).await?;
    if json {
        return screen::print_json(&trial);
    }
    let row = |one: &Changed| {
        let was = format!("{} ({})", one.from_class, one.from_rule);
        let ends = one.to_suppress.map_or_else(|| "-".to_owned(), |stop| stop.to_string());
        vec![one.count.to_string(), was, one.to_class.to_string(), ends, one.sample.clone()]
    };
    let rows: Vec<_> = trial.changed.iter().map(row).collect();
    let Trial { looked_at, matched, .. } = trial;
    screen::print(&format!("{matched} of {looked_at} replies of the last {days} days\n"))?;
    if rows.is_empty() {
        return Ok(());
    }
    screen::print(&screen::table(&["count", "was", "becomes", "suppresses", "sample"], &rows))
}

async fn list(desk: &Desk, json: bool) -> Result<(), CliError> {
    let page: Page<OwnRule> = desk.ask(Method::GET, "/v1/classification/rules", None).await?;
    if json {
        return screen::print_json(&page);
    }
    let row = |own: &OwnRule| {
        let OwnRule { rule, created_at } = own;
        let operator = rule.operator.clone().unwrap_or_default();
        let phrases = rule.phrases.join(" | ");
        vec![rule.id.clone(), rule.class.to_string(), operator, created_at.to_string(), phrases]
    };
    let rows: Vec<_> = page.items.iter().map(row).collect();
    screen::print(&screen::table(&["id", "class", "operator", "since", "phrases"], &rows))
}

/// The rules that ship; with `own` those of the installation before them.
pub(super) fn classifier(
    own: bool,
    settings: impl FnOnce() -> Result<Settings, CliError>,
) -> Result<Classifier, CliError> {
    let refused = |why: RuleError| CliError::Refused(why.to_string());
    if !own {
        return Classifier::shipped().map_err(refused);
    }
    let settings = settings()?;
    let page: Page<OwnRule> = on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let page = desk.ask(Method::GET, "/v1/classification/rules", None).await;
        desk.close().await;
        page
    })?;
    Classifier::with_own(page.items.into_iter().map(|own| own.rule).collect()).map_err(refused)
}

fn classify_lines(classifier: &Classifier, operator: Option<String>) -> Result<(), CliError> {
    let operator = operator.as_deref();
    if let Some(name) = operator.filter(|name| operator_named(name).is_none()) {
        eprintln!("postroad: no rules are known for {}", screen::lines(name));
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
