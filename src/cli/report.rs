//! `postroad report`: reads mails that came back; the daemon is asked for own rules alone.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::{CliError, screen};
use crate::classify::LiveClassifier;
use crate::config::Settings;
use crate::feedback::Judge;
use crate::wire::report::{FeedbackType, ReportKind, read};

/// Larger files are read to here: what a report says stands at its top.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Subcommand)]
pub enum Report {
    /// Say what each mail is: a JSON line for each mail and recipient.
    Parse {
        /// Mails, one a file, as they came; `-` reads one from the standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// By the installation's own rules before those that ship.
        #[arg(long)]
        own: bool,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    recipient: Option<&'a str>,
    kind: ReportKind,
    hard: bool,
    status: Option<String>,
    category: Option<crate::model::Category>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<crate::model::Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsubscribe: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback_type: Option<&'static str>,
    original_message_id: Option<&'a str>,
    /// The first text that tells why.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostic: Option<String>,
    /// Parts of the mail were too deep or too many to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<bool>,
}

/// `settings` are read only where own rules are asked for.
pub fn run(
    report: Report,
    settings: impl FnOnce() -> Result<Settings, CliError>,
) -> Result<(), CliError> {
    let Report::Parse { files, own } = report;
    let rules = super::classify::classifier(own, settings)?;
    let judge = Judge::new(LiveClassifier::new(rules));
    let mut is_unread = false;
    for file in &files {
        match contents(file) {
            Ok(mail) => screen::print(&lines(&judge, &file.to_string_lossy(), &mail)?)?,
            Err(why) => {
                is_unread = true;
                eprintln!("postroad: {}: {why}", screen::lines(&file.to_string_lossy()));
            }
        }
    }
    if is_unread { Err(CliError::Found) } else { Ok(()) }
}

fn contents(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_end(&mut mail)?;
    } else {
        std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_end(&mut mail)?;
    }
    Ok(mail)
}

/// The JSON lines of one mail.
pub fn lines(judge: &Judge, file: &str, mail: &[u8]) -> Result<String, CliError> {
    let report = read(mail);
    let mut out = String::new();
    for finding in &report.findings {
        let verdict = judge.judge(None, finding);
        let diagnostic = finding.texts.first().map(|text| {
            let words: Vec<&str> = text.split_whitespace().take(100).collect();
            words.join(" ")
        });
        let line = Line {
            file,
            recipient: finding.recipient.as_deref(),
            kind: finding.kind,
            hard: verdict.is_hard(),
            status: finding.status.map(|status| status.to_string()),
            category: verdict.category(),
            class: verdict.class,
            unsubscribe: (report.feedback_type == Some(FeedbackType::OptOut)).then_some(true),
            feedback_type: report.feedback_type.map(FeedbackType::word),
            original_message_id: report.original_message_id.as_deref(),
            diagnostic,
            cut: report.is_cut.then_some(true),
        };
        let line = serde_json::to_string(&line).map_err(|why| CliError::Answer(why.to_string()))?;
        out.push_str(&line);
        out.push('\n');
    }
    Ok(out)
}
