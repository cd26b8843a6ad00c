//! Rules that load, rules that must not, and what an answer comes to.

use proptest::prelude::*;

use super::*;

fn shipped() -> Classifier {
    match Classifier::shipped() {
        Ok(classifier) => classifier,
        Err(why) => panic!("{why}"),
    }
}

fn rule(id: &str, class: &str, phrase: &str, sample: &str) -> Rule {
    let class = class.parse().expect("a class");
    let texts = |text: &str| vec![text.to_owned()];
    Rule {
        id: id.to_owned(),
        class,
        confidence: 0.9,
        operator: None,
        only: false,
        codes: Vec::new(),
        enhanced: Vec::new(),
        phrases: texts(phrase),
        without: Vec::new(),
        samples: texts(sample),
        retry: None,
        disposition: None,
        signal: None,
        suppress: None,
        never_suppress: false,
    }
}

fn refused(rules: Vec<Rule>) -> RuleError {
    Classifier::of(rules, Vec::new()).err().expect("these rules must not load")
}

#[test]
fn rules_that_cannot_be_meant_do_not_load() {
    let good = || rule("a", "policy", "go away", "550 Go away!");
    assert!(Classifier::of(vec![good()], Vec::new()).is_ok());
    let unknown = Rule { operator: Some("nobody".into()), ..good() };
    assert!(matches!(refused(vec![unknown]), RuleError::Operator { .. }));
    let sampleless = Rule { samples: Vec::new(), ..good() };
    assert!(matches!(refused(vec![sampleless]), RuleError::NoSample(_)));
    let wrong = Rule { samples: vec!["550 Stay".into()], ..good() };
    assert!(matches!(refused(vec![wrong]), RuleError::Sample { .. }));
    let later = rule("b", "content", "away", "550 go away");
    let RuleError::Shadowed { id, earlier } = refused(vec![good(), later]) else {
        panic!("a rule that is never reached must not load")
    };
    assert_eq!((id.as_str(), earlier.as_str()), ("b", "a"));
    assert!(matches!(refused(vec![good(), good()]), RuleError::Twice(_)));
    let sure = Rule { confidence: 1.5, ..good() };
    assert!(matches!(refused(vec![sure]), RuleError::Confidence(_)));
    let all = Rule { phrases: Vec::new(), ..good() };
    assert!(matches!(refused(vec![all]), RuleError::Everything(_)));
    let coded = Rule { codes: vec!["250".into()], ..good() };
    assert!(matches!(refused(vec![coded]), RuleError::Code { .. }));
    let soft = Suppress { scope: SuppressScope::Organization, days: None };
    let soft = Rule { codes: vec!["4xx".into()], suppress: Some(soft), ..good() };
    assert!(matches!(refused(vec![soft]), RuleError::SoftSuppress(_)));
    let unknown = toml::from_str::<Rule>("id = 'a'\nclass = 'nonsense'\n").expect_err("no class");
    assert!(unknown.to_string().contains("nonsense"), "{unknown}");
}

#[test]
fn an_own_rule_comes_before_all_that_ship() {
    let own = rule("own.odd", "rate_messages", "user unknown today", "550 User unknown today");
    let classifier = Classifier::with_own(vec![own]).expect("lawful");
    let record = |text| classifier.classify(Some("google"), &Answer::read(text));
    assert_eq!(record("550 5.1.1 user unknown today").rule, "own.odd");
    assert_eq!(record("550 5.1.1 user unknown").class, Class::MailboxInvalid);
}

#[test]
fn a_rule_for_one_operator_alone_says_nothing_elsewhere() {
    let classifier = shipped();
    let answer = Answer::read("421 4.7.0 Try again later, closing connection.");
    assert_eq!(classifier.classify(Some("gmail"), &answer).class, Class::RateMessages);
    assert_eq!(classifier.classify(None, &answer).class, Class::System);
}

#[test]
fn a_doubtful_refusal_and_a_refusal_for_now_never_end_writing_to_an_address() {
    let classifier = shipped();
    for text in [
        "550 5.1.1 Message rejected for policy reasons",
        "550 5.7.1 Access denied",
        "550 5.1.1 Message refused: bad reputation",
        "550 5.1.1 rejected: SPF fail",
        "550 Mail rejected",
        "450 4.1.1 User unknown",
        "451 5.1.1 No such user here",
        "421 Account disabled",
        "550 something never seen",
        "550",
        "",
    ] {
        let record = classifier.classify(None, &Answer::read(text));
        assert!(!record.hard && record.suppress.is_none(), "{text}: {record:?}");
    }
}

#[test]
fn what_follows_from_a_class_stands_in_its_record() {
    let classifier = shipped();
    let record = |text| classifier.classify(None, &Answer::read(text));
    let gone = record("550 5.1.1 user unknown");
    let for_good = Suppress { scope: SuppressScope::Organization, days: None };
    assert_eq!((gone.hard, gone.suppress), (true, Some(for_good)));
    assert_eq!(gone.signal, Signal::InvalidRecipient);
    let grey = record("451 4.7.1 Greylisted");
    assert_eq!((grey.retry, grey.signal), (RetryProfile::Greylist, Signal::None));
    let limited = record("550 Ip frequency limited");
    assert_eq!(limited.disposition, Disposition::Retry);
    assert_eq!(limited.signal, Signal::Rate);
    let listed = record("554 blocked using zen.spamhaus.org");
    assert_eq!((listed.class, listed.signal), (Class::Blocklisted, Signal::Reputation));
}

#[test]
fn every_class_of_the_rules_and_every_operator_with_rules_is_reached() {
    let classifier = shipped();
    let operators: std::collections::BTreeSet<_> =
        classifier.rules().filter_map(|rule| rule.operator.clone()).collect();
    assert!(operators.len() >= 25, "{operators:?}");
    assert!(classifier.rules().count() >= 200);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Arbitrary bytes: no panic, the same answer twice, a hard one only when refused for good.
    #[test]
    fn any_text_gets_one_answer(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
        let classifier = CLASSIFIER.get_or_init(shipped);
        let text = String::from_utf8_lossy(&bytes);
        let answer = Answer::read(&text);
        let first = classifier.classify(None, &answer);
        prop_assert_eq!(&first, &classifier.classify(None, &answer));
        prop_assert!(!first.hard || answer.is_permanent() != Some(false));
    }

    /// Words of the rules themselves, mixed: the worst that a host can choose.
    #[test]
    fn any_mix_of_telling_words_gets_one_answer(
        words in proptest::collection::vec(0usize..TELLING_WORDS.len(), 0..1500),
        code in 400u16..600,
    ) {
        let classifier = CLASSIFIER.get_or_init(shipped);
        let words: Vec<&str> = words.into_iter().map(|at| TELLING_WORDS[at]).collect();
        let text = words.join(" ");
        let record = classifier.classify(None, &Answer::with_code(code, &text));
        prop_assert!(!record.hard || code >= 500);
    }
}

static CLASSIFIER: std::sync::OnceLock<Classifier> = std::sync::OnceLock::new();
const TELLING_WORDS: [&str; 16] = [
    "user",
    "unknown",
    "mailbox",
    "full",
    "spam",
    "blocked",
    "5.7.1",
    "limit",
    "too",
    "many",
    "address",
    "rejected",
    "邮",
    "箱",
    "<a@b.example>",
    "192.0.2.1",
];

#[test]
fn the_longest_texts_of_the_worst_words_stay_cheap() {
    let classifier = shipped();
    for word in ["user ", "mailbox user ", "a@b.c ", "1a2b3c4d ", "rejected not ", "(", "邮箱"] {
        let text = word.repeat(100_000 / word.len());
        // Bounded by what is looked at, not by what came: a clock would make this test flicker.
        assert!(normal(&text).len() <= 2300, "{word}");
        classifier.classify(None, &Answer::read(&text));
    }
}
