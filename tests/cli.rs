//! The operator's commands, as the binary runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory to run commands in, without settings of the surrounding machine.
struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POSTROAD_") {
                command.env_remove(name);
            }
        }
        command.output().expect("postroad runs")
    }
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn the_printed_sample_checks_clean() {
    let desk = Desk::new();
    let sample = desk.run(&["config", "sample"]);
    assert!(sample.status.success());
    desk.write("postroad.toml", &told(&sample));
    let checked = desk.run(&["config", "check"]);
    assert!(checked.status.success(), "{}", told(&checked));
    assert_eq!(told(&checked), "postroad.toml: no mistakes\n");
}

#[test]
fn wrong_settings_end_every_command_with_all_mistakes_and_exit_code_78() {
    let desk = Desk::new();
    let file = desk.write("other.toml", "[smtp]\nerors_max = 1\n[nod]\n[retry]\nwait_max = 3\n");
    let file = file.to_str().expect("UTF-8");
    for command in [&["config", "check"][..], &["serve"], &["queue", "list"]] {
        let mut arguments = vec!["--config", file];
        arguments.extend(command);
        let output = desk.run(&arguments);
        assert_eq!(output.status.code(), Some(78), "{command:?}");
        let text = told(&output);
        for place in ["other.toml:2: ", "other.toml:3: ", "other.toml:5: "] {
            assert!(text.contains(place), "{command:?}: {text}");
        }
    }
}

#[test]
fn a_command_for_the_daemon_says_how_to_start_it() {
    let desk = Desk::new();
    let output = desk.run(&["queue", "list"]);
    assert_eq!(output.status.code(), Some(1));
    let text = told(&output);
    assert!(text.contains("not running") && text.contains("postroad serve"), "{text}");
    assert!(!desk.path().join("queue").exists(), "looking must not make anything");
}

#[test]
fn a_check_without_a_store_says_so() {
    let desk = Desk::new();
    let output = desk.run(&["check", "--data-dir", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("there is no store in nowhere"), "{}", told(&output));
}

#[test]
fn what_stands_in_arguments_and_files_reaches_the_terminal_harmless() {
    let desk = Desk::new();
    desk.write("postroad.toml", "[smtp]\n\"\\u001b[2J\" = 1\n");
    let text = told(&desk.run(&["config", "check"]));
    assert!(text.contains("\\x1b[2J") && !text.contains('\x1b'), "{text:?}");
}

#[test]
fn wrong_arguments_have_an_exit_code_of_their_own() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["queue", "explode"]).status.code(), Some(2));
    assert_eq!(desk.run(&["queue", "list", "--state", "lost"]).status.code(), Some(2));
    assert_eq!(desk.run(&["--help"]).status.code(), Some(0));
    let version = desk.run(&["version"]);
    assert_eq!(told(&version), concat!("postroad ", env!("CARGO_PKG_VERSION"), "\n"));
}

mod stopped_store {
    //! What works while no daemon runs.

    use super::*;

    fn json(output: &Output) -> serde_json::Value {
        assert!(output.status.success(), "{}", told(output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    #[test]
    fn a_credential_is_made_listed_without_its_secret_and_revoked() {
        let desk = Desk::new();
        let made = json(&desk.run(&["credential", "add", "app", "--json"]));
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        assert!(secret.len() >= 20, "{secret}");
        let listed = desk.run(&["credential", "list", "--json"]);
        assert!(!told(&listed).contains(&secret) && !told(&listed).contains("argon2"));
        assert_eq!(json(&listed)[0]["name"], "app");
        let again = desk.run(&["credential", "add", "app"]);
        assert_eq!(again.status.code(), Some(1));
        assert!(told(&again).contains("there is a credential of this name"), "{}", told(&again));
        assert!(desk.run(&["credential", "revoke", "app"]).status.success());
        assert!(!desk.run(&["credential", "revoke", "app"]).status.success());
        assert!(told(&desk.run(&["credential", "list"])).contains("revoked"));
    }

    #[test]
    fn a_name_that_is_not_lawful_is_refused_with_its_field() {
        let desk = Desk::new();
        let refused = desk.run(&["credential", "add", "a:b"]);
        assert!(told(&refused).contains("name: "), "{}", told(&refused));
        let refused = desk.run(&["domain", "add", "not a domain"]);
        assert!(told(&refused).contains("name: "), "{}", told(&refused));
        let refused = desk.run(&["credential", "add", "a", "--stream", "none"]);
        assert!(told(&refused).contains("stream: "), "{}", told(&refused));
    }

    #[test]
    fn keys_are_made_for_our_own_domains_alone() {
        let desk = Desk::new();
        let refused = desk.run(&["dkim", "new", "shop.example"]);
        assert!(told(&refused).contains("postroad domain add shop.example"), "{}", told(&refused));
        assert!(desk.run(&["domain", "add", "Shop.Example"]).status.success());
        let made = desk.run(&["dkim", "new", "shop.example", "--selector", "s1"]);
        assert!(made.status.success(), "{}", told(&made));
        assert_eq!(told(&made).matches("._domainkey.shop.example. ").count(), 2);
        assert!(!told(&made).contains("PRIVATE"));
        let listed = json(&desk.run(&["dkim", "list", "--json"]));
        assert_eq!(listed.as_array().map(Vec::len), Some(2));
        assert!(desk.path().join("dkim-keys").is_dir());
        assert!(!desk.run(&["dkim", "new", "shop.example", "--selector", "s1"]).status.success());
    }

    #[test]
    fn an_empty_store_checks_clean() {
        let desk = Desk::new();
        assert!(desk.run(&["migrate"]).status.success());
        assert!(desk.run(&["migrate"]).status.success());
        let checked = desk.run(&["check"]);
        assert!(checked.status.success(), "{}", told(&checked));
        assert!(told(&checked).ends_with("all is well\n"), "{}", told(&checked));
        assert_eq!(json(&desk.run(&["check", "--json"]))["census"]["accepted"], 0);
    }
}

mod service {
    //! The files under `systemd/`.

    use super::*;

    fn file(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        std::fs::read_to_string(path).expect("a file of the checkout")
    }

    #[test]
    fn systemd_finds_nothing_to_say_about_the_unit() {
        let desk = Desk::new();
        // The binary is not installed where the unit expects it.
        let unit = file("postroad.service").replace("/usr/bin/postroad", "/bin/true");
        let unit = desk.write("postroad.service", &unit);
        let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&unit).output() else {
            eprintln!("SKIPPED: systemd-analyze is missing, so the unit was not verified");
            return;
        };
        assert!(output.status.success() && told(&output).is_empty(), "{}", told(&output));
    }

    #[test]
    fn the_settings_of_an_installed_host_check_clean() {
        let text = file("postroad.toml");
        let settings = postroad::config::read("postroad.toml", &text, &[]);
        let settings = settings.expect("no mistakes");
        assert!(settings.node.data_dir.is_absolute() && settings.node.dkim_dir.is_absolute());
    }

    #[test]
    fn stopping_may_take_as_long_as_the_settings_allow_by_default() {
        let wait = postroad::config::Settings::default().node.stop_wait.as_secs();
        assert!(file("postroad.service").contains("TimeoutStopSec=90s") && wait < 90);
    }
}
