//! `benches/warmup`: four new addresses and 500,000 mails a day, under six ways to warm up.
//!
//! Owns:       the sender, his days, and what is counted.
//! Promises:   every way meets the same operators with the same seeds; ours is the shipped planner,
//!             allocator and limits, not a copy.
//! Knows not:  the operators' tolerance, which `postroad::world::tolerance` keeps hidden.

mod daemon;
mod hosts;
mod ours;
mod peers;
mod run;

use postroad::world::tolerance::Model;

use run::{Run, Scheme, Scores};

/// A way, by its name, made anew for each run.
type Way = (&'static str, fn(&Model, &str) -> Box<dyn Scheme>);

const WAYS: [Way; 8] = [
    ("no warm-up", |model, _| Box::new(peers::NoWarmUp::new(model))),
    ("fixed schedule per IP", |model, _| Box::new(peers::Fixed::per_source(model))),
    ("fixed per IP and operator", |model, _| Box::new(peers::Fixed::per_operator(model))),
    ("staged, 90 % gate, overflow", |model, _| Box::new(peers::Staged::new(model))),
    ("score scales the cap", |model, _| Box::new(peers::Scored::new(model))),
    ("ours, plan careful", |model, _| Box::new(ours::Ours::new(model, "careful"))),
    ("ours, plan standard", |model, _| Box::new(ours::Ours::new(model, "standard"))),
    ("ours, plan fast", |model, _| Box::new(ours::Ours::new(model, "fast"))),
];

struct Arguments {
    model: String,
    seeds: u64,
    /// Only ways whose name holds this.
    only: String,
    days: bool,
    /// Through the daemon, with this plan.
    daemon: Option<String>,
}

fn arguments() -> Result<Arguments, String> {
    let model = "benches/warmup-models/common.toml".to_owned();
    let (only, days, daemon) = (String::new(), false, None);
    let mut read = Arguments { model, seeds: 20, only, days, daemon };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        if name == "--days" {
            read.days = true;
            continue;
        }
        let value = given.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--model" => read.model = value,
            "--seeds" => {
                read.seeds = value.parse().map_err(|_| format!("'{value}' is no number"))?;
            }
            "--only" => read.only = value,
            "--daemon" => read.daemon = Some(value),
            _ => {
                let all = "--model, --seeds, --only, --days, --daemon";
                return Err(format!("unknown: {name}; there are {all}"));
            }
        }
    }
    if !(1..=1000).contains(&read.seeds) {
        return Err("--seeds must be 1 to 1000".to_owned());
    }
    Ok(read)
}

fn main() -> std::process::ExitCode {
    match arguments().and_then(|read| compare(&read)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("benches/warmup: {why}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn compare(read: &Arguments) -> Result<(), String> {
    let text =
        std::fs::read_to_string(&read.model).map_err(|why| format!("{}: {why}", read.model))?;
    let model = Model::read(&text).map_err(|why| format!("{}: {why}", read.model))?;
    if let Some(plan) = &read.daemon {
        return (1..=read.seeds).try_for_each(|seed| daemon::run(&model, seed, plan));
    }
    println!("model {}, {} seeds; means, in brackets the worst seed", model.name, read.seeds);
    println!(
        "| way | days to full volume | delivered a day then | put off or refused for reputation | \
         transactional mails delayed | days lost after a bad list |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, make) in WAYS.iter().filter(|(name, _)| name.contains(&read.only)) {
        let mut scores = Scores::default();
        for seed in 1..=read.seeds {
            let mut run = Run::new(&model, seed, make(&model, name));
            run.print_days = read.days;
            let figures = run.warm_up();
            scores.add(figures, run.level(), run.incident());
        }
        println!("| {name} | {scores} |");
    }
    Ok(())
}
