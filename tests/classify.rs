//! Replies of the world's hosts, with what a careful person says of them.

use std::io::Write;
use std::process::{Command, Stdio};

use postroad::classify::{Answer, Classifier};

struct Told {
    category: &'static str,
    hard: bool,
    operator: Option<&'static str>,
    reply: &'static str,
}

fn told() -> Vec<Told> {
    let lines = include_str!("classify/replies.tsv").lines();
    lines
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let fields: Vec<&str> = line.splitn(4, '\t').collect();
            let [category, hard, operator, reply] = fields[..] else {
                panic!("four fields in: {line}")
            };
            let operator = (operator != "-").then_some(operator);
            Told { category, hard: hard == "hard", operator, reply }
        })
        .collect()
}

/// The shares that the rules must reach, with the operator known and unknown.
#[test]
fn replies_of_the_world_are_classified_as_a_careful_person_would() {
    let classifier = Classifier::shipped().expect("the shipped rules load");
    let told = told();
    let count = told.len() as f64;
    assert!(count >= 400.0);
    for knows_operator in [true, false] {
        let (mut category, mut hard, mut good_called_bad, mut unclassified) = (0, 0, 0, 0);
        let mut wrong = Vec::new();
        for one in &told {
            let operator = one.operator.filter(|_| knows_operator);
            let record = classifier.classify(operator, &Answer::read(one.reply));
            let right = record.category.word() == one.category;
            category += usize::from(right);
            hard += usize::from(record.hard == one.hard);
            good_called_bad += usize::from(record.hard && !one.hard);
            unclassified += usize::from(record.category.word() == "unknown");
            if !right || record.hard != one.hard {
                let (got, rule) = (record.category, &record.rule);
                wrong.push(format!("{} not {got} ({rule}): {}", one.category, one.reply));
            }
        }
        let share = |part: usize| part as f64 / count;
        let wrong = wrong.join("\n");
        assert!(share(category) >= 0.95, "category {}\n{wrong}", share(category));
        assert!(share(hard) >= 0.98, "hard {}\n{wrong}", share(hard));
        assert!(share(good_called_bad) <= 0.005, "good called bad\n{wrong}");
        assert!(share(unclassified) <= 0.02, "unclassified\n{wrong}");
    }
}

#[test]
fn the_command_answers_line_by_line_without_daemon_or_settings() {
    let empty = tempfile::tempdir().expect("a directory");
    let mut child = Command::new(env!("CARGO_BIN_EXE_postroad"))
        .args(["classify", "--operator", "gmail"])
        .current_dir(empty.path())
        .env("POSTROAD_CONFIG", "/nonexistent/postroad.toml")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let input = b"550 5.1.1 user unknown\n\n\xff\xfe 452 4.2.2 mailbox full\r\nno such thing";
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let seen: Vec<_> =
        lines.iter().map(|it| (it["category"].as_str().unwrap_or(""), &it["hard"])).collect();
    let (yes, no) = (serde_json::json!(true), serde_json::json!(false));
    assert_eq!(
        seen,
        [("bad_mailbox", &yes), ("unknown", &no), ("mailbox_full", &no), ("unknown", &no)]
    );
    let keys: Vec<&String> = lines[0].as_object().expect("an object").keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert!(lines[0]["confidence"].as_f64().is_some_and(|it| it > 0.9));
}
