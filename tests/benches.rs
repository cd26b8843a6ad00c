//! The benchmarks run: a figure in the README whose script is broken would be a tale.
//!
//! Owns:       a small run of each script in `benches/`.
//! Promises:   the script still finds its way through today's settings and commands.
//! Knows not:  what a good figure is.

use std::process::Command;

#[test]
fn the_benchmark_of_sending_gets_every_mail_accepted_both_ways() {
    let script = crate::sources::root().join("benches/send");
    let done = Command::new("timeout")
        .args(["--kill-after=10", "300"])
        .arg(script)
        .args(["--mails", "80", "--batch", "20", "--connections", "2", "--runs", "1"])
        .args(["--binary", env!("CARGO_BIN_EXE_postroad")])
        .output()
        .expect("the script can be run");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{errors}");
    assert!(said.contains("median http") && said.contains("median smtp"), "{said}");
}

#[test]
fn the_benchmark_of_imports_brings_in_every_contact_and_counts_them() {
    let script = crate::sources::root().join("benches/import");
    let done = Command::new("timeout")
        .args(["--kill-after=10", "300"])
        .arg(script)
        .args(["--contacts", "3000", "--binary", env!("CARGO_BIN_EXE_postroad")])
        .output()
        .expect("the script can be run");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{errors}");
    assert!(said.contains("import of 3,000 contacts") && said.contains("median"), "{said}");
}

#[test]
fn the_benchmark_of_campaigns_brings_each_its_own_mail() {
    // SAFETY: geteuid reads a number of this process and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("SKIPPED: benches/campaign needs root for its cgroup");
        return;
    }
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_postroad"));
    let ends = binary.with_file_name("examples").join("campaign-ends");
    if !ends.exists() {
        // Where this test alone was built.
        let mut cargo = Command::new(env!("CARGO"));
        let built = cargo.args(["build", "--locked", "--example", "campaign-ends"]).status();
        assert!(built.expect("cargo can be run").success());
    }
    let script = crate::sources::root().join("benches/campaign");
    let done = Command::new("timeout")
        .args(["--kill-after=10", "300"])
        .arg(script)
        .args(["--contacts", "150", "--kept", "40", "--deferred", "5", "--postroad"])
        .arg(binary)
        .arg("--ends")
        .arg(ends)
        .output()
        .expect("the script can be run");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{errors}");
    assert!(said.contains("all signatures verify") && said.contains("ceiling"), "{said}");
}

#[test]
fn the_benchmark_of_searches_fills_a_ledger_and_asks_it() {
    let script = crate::sources::root().join("benches/search");
    let done = Command::new("timeout")
        .args(["--kill-after=10", "300"])
        .arg(script)
        .args(["--deliveries", "3000", "--asks", "2"])
        .args(["--binary", env!("CARGO_BIN_EXE_postroad")])
        .output()
        .expect("the script can be run");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{errors}");
    assert!(said.contains("recipient, 30 days") && said.contains("audit log"), "{said}");
}

#[test]
fn the_benchmark_of_the_panel_fills_a_ledger_and_opens_pages() {
    let root = crate::sources::root();
    let chromium = std::path::Path::new("/usr/bin/chromium");
    if !chromium.exists() || !root.join("web/node_modules/playwright-core").exists() {
        println!("SKIPPED: benches/panel needs Chromium and web/node_modules");
        return;
    }
    let done = Command::new("timeout")
        .args(["--kill-after=10", "300"])
        .arg(root.join("benches/panel"))
        .args(["--deliveries", "3000", "--contacts", "500", "--rounds", "1"])
        .args(["--pages", "/campaigns", "--limit", "60000"])
        .arg("--dist")
        .arg(root.join("web/dist"))
        .args(["--binary", env!("CARGO_BIN_EXE_postroad")])
        .output()
        .expect("the script can be run");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{errors}");
    assert!(said.contains("/campaigns/$id/report"), "{said}");
    assert!(said.contains("0 pages take longer"), "{said}");
}

#[test]
fn the_relay_benchmark_brings_every_mail_through_the_daemon() {
    // SAFETY: geteuid reads a number of this process and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("SKIPPED: benches/relay needs root for its cgroup");
        return;
    }
    let script = crate::sources::root().join("benches/relay");
    let done = Command::new("timeout")
        .args(["--kill-after=10", "300"])
        .arg(script)
        .args(["--mails", "200", "--sessions", "5", "--runs", "1", "--modes", "plain,dkim"])
        .args(["--servers", "postroad", "--postroad", env!("CARGO_BIN_EXE_postroad")])
        .output()
        .expect("the script can be run");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{errors}");
    for mode in ["plain", "dkim"] {
        assert!(said.contains(&format!("{mode}: median")), "no summary of {mode}:\n{said}");
    }
}
