//! Sources, pools and warm-ups as people steer them: by the commands that they type.

use std::path::Path;
use std::process::Command;

use crate::support::demo::Demo;

/// Whether it succeeds, and what it says.
fn run(directory: &Path, line: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_postroad"))
        .arg("--config")
        .arg(directory.join("data").join("postroad.toml"))
        .args(line.split(' '))
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn sources_pools_and_warm_ups_are_steered_by_commands() {
    let directory = tempfile::tempdir().expect("a directory");
    let _demo = Demo::start_in(directory.path(), &[]);
    for (line, wanted) in [
        ("source list", "news-1"),
        ("source show news-1", "127.0.1.2"),
        ("pool show marketing", "news-2"),
        ("pool put marketing news-2 --weight 3 --share-max 40", ""),
        ("pool show marketing", "40"),
        ("pool add lonely", "no source that sends"),
        ("source suspend news-2", ""),
        ("source list", "suspended"),
        ("source resume news-2", ""),
        ("source add spare --ehlo mail.shop.test --address 127.0.1.98", "127.0.1.98"),
        ("source change spare --ehlo mail.shop.test --address 127.0.1.99", "127.0.1.99"),
        ("limit add messages 5 --window 1d --from source:spare --to operator:google", "was set"),
        ("pool rule list", "marketing"),
        ("warmup plans --target 5000", "standard"),
        ("warmup start --source news-1 --operator google --target 1000", "google"),
        ("warmup list", "running"),
        ("warmup skip 1 --days 2", "3/"),
        ("warmup pause 1", "paused"),
        ("warmup resume 1", "running"),
        ("warmup restart 1", "1/"),
        ("warmup show 1", "what is to come"),
        ("decisions list", "RULE"),
        ("forecast google=1000 --pool marketing", "google"),
        ("warmup stop 1", "stopped"),
    ] {
        let (succeeds, said) = run(directory.path(), line);
        assert!(succeeds && said.contains(wanted), "{line}: {said}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let _demo = Demo::start_in(directory.path(), &[]);
    for (line, wanted) in [
        ("warmup start --source nobody --target 5", "no source 'nobody'"),
        ("warmup start --source news-1 --operator nobody --target 5", "no operator 'nobody'"),
        ("warmup start --source news-1 --target 0", "target"),
        ("warmup start --source news-1 --target 90 --curve 50,20", "curve"),
        ("warmup show 77", "no warm-up 77"),
        ("decisions undo 77", "no decision 77"),
        ("why --campaign 99", "no campaign 99"),
        ("forecast nobody=5", "no operator 'nobody'"),
        ("source add far --ehlo mail.shop.test --address 192.0.2.77", "not an address of this"),
        ("source add news-1 --ehlo mail.shop.test --address 127.0.1.9", "of this name"),
        ("source change news-1 --ehlo mail.shop.test --address 127.0.1.9", "in the settings"),
        ("source change nobody --ehlo mail.shop.test --address 127.0.1.9", "no source of this"),
        ("limit add messages 5 --window 1d --from source:nobody", "no source 'nobody'"),
        ("limit add messages 5 --window 1d --to operator:gogle", "google"),
        ("pool put nowhere news-1", "no pool of this name"),
    ] {
        let (succeeds, said) = run(directory.path(), line);
        assert!(!succeeds && said.contains(wanted), "{line}: {said}");
    }
}
