//! `postroad check`: reads the store itself, beside a running daemon or without one, so that its
//! word does not hang on the memory of the daemon it checks.

use super::client::become_owner;
use super::{CliError, on_one_thread, screen};
use crate::app;
use crate::config::{Settings, show_size};
use crate::queue::check::{Audit, Findings};
use crate::spool::Spool;
use crate::store::Store;

#[derive(clap::Args)]
pub struct Check {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Check, settings: Settings) -> Result<(), CliError> {
    let data_dir = &settings.node.data_dir;
    if !data_dir.is_dir() {
        return Err(CliError::Refused(format!("there is no store in {}", data_dir.display())));
    }
    become_owner(data_dir)?;
    let findings = on_one_thread(async {
        let store = Store::open_to_read(&app::location(&settings)).await?;
        let spool = data_dir.join("spool");
        let audit = match spool.is_dir() {
            true => Audit::new(store.clone(), Spool::open_to_read(&spool)?),
            false => Audit::without_spool(store.clone()),
        };
        let findings = audit.run().await;
        store.close().await;
        Ok(findings?)
    })?;
    match arguments.json {
        true => screen::print_json(&findings)?,
        false => screen::print(&told(&findings))?,
    }
    if findings.wrong.is_empty() { Ok(()) } else { Err(CliError::Found) }
}

fn told(findings: &Findings) -> String {
    let Findings { census, segments, bodies, body_bytes, wrong } = findings;
    let states: Vec<String> =
        census.by_state.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let sum = if states.is_empty() { "nothing yet".to_owned() } else { states.join(" + ") };
    let mut text = format!(
        "accepted  {} deliveries = {sum}\nbodies    {bodies} owed and read, {} in {segments} \
         segments\n",
        census.accepted,
        show_size(*body_bytes),
    );
    for line in wrong {
        text.push_str(&format!("WRONG     {}\n", crate::telemetry::harmless(line)));
    }
    text.push_str(if wrong.is_empty() { "all is well\n" } else { "the store is damaged\n" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::State;
    use crate::store::Census;

    #[test]
    fn the_sum_and_every_wrong_thing_are_told() {
        let by_state = [(State::Waiting, 2), (State::Delivered, 5)].into_iter().collect();
        let census = Census { accepted: 7, damaged: 0, by_state };
        let wrong = vec!["the body of message 3 cannot be sent: \x1b[2J".to_owned()];
        let findings = Findings { census, segments: 1, bodies: 2, body_bytes: 2048, wrong };
        let expected = "accepted  7 deliveries = 2 waiting + 5 delivered\n\
                        bodies    2 owed and read, 2 KiB in 1 segments\n\
                        WRONG     the body of message 3 cannot be sent: \\x1b[2J\n\
                        the store is damaged\n";
        assert_eq!(told(&findings), expected);
    }
}
