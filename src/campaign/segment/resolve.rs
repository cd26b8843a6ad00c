//! Names are looked up, values are read as their fields have them.

use std::time::Duration;

use super::expression::{Expression, Fault, Literal, Operator, Question};
use crate::campaign::Schema;
use crate::contacts;
use crate::model::contact::date;
use crate::model::*;
use crate::store::filter::{CampaignFate, Compare, Filter, Place, Test, TextCompare};

const DAY: Duration = Duration::from_secs(86_400);
const DAYS_MAX: i64 = 36_600;

type Resolved = Result<Filter, Fault>;

pub fn filter(expression: &Expression, schema: &Schema, now: Timestamp) -> Resolved {
    let resolver = Resolver { schema, now };
    resolver.expression(expression)
}

struct Resolver<'a> {
    schema: &'a Schema,
    now: Timestamp,
}

/// What a name stands for.
enum Subject<'a> {
    Field(&'a Field, Place),
    Text(Place),
    Moment(Place),
    Status,
    Score,
    Sealed(&'a Field, Place),
}

impl Resolver<'_> {
    fn expression(&self, expression: &Expression) -> Resolved {
        let all = |parts: &[Expression]| {
            parts.iter().map(|part| self.expression(part)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match expression {
            Expression::All(parts) => Filter::All(all(parts)?),
            Expression::Any(parts) => Filter::Any(all(parts)?),
            Expression::Not(part) => Filter::Not(Box::new(self.expression(part)?)),
            Expression::Test(question) => return self.question(question),
        })
    }

    fn question(&self, question: &Question) -> Resolved {
        match question.name.to_ascii_lowercase().as_str() {
            "tag" => self.tag(question),
            "list" => self.list(question),
            "campaign" => campaign(question),
            name => match self.subject(name, question)? {
                Subject::Text(place) => text(question, place),
                Subject::Moment(place) => self.moment(question, place),
                Subject::Status => status(question),
                Subject::Score => self.score(question),
                Subject::Field(field, place) => self.field(question, field, place),
                Subject::Sealed(field, place) => self.sealed(question, field, place),
            },
        }
    }

    fn tag(&self, question: &Question) -> Resolved {
        let asked = first(question)?;
        let tag = self.schema.tag(&asked.text);
        let tag = tag.ok_or_else(|| Fault::at(&asked.spot, "there is no such tag"))?;
        Ok(Filter::Test(Test::Tag(tag.id)))
    }

    fn list(&self, question: &Question) -> Resolved {
        let asked = first(question)?;
        let list = self.schema.list_named(&asked.text);
        let list = list.ok_or_else(|| Fault::at(&asked.spot, "there is no such list"))?;
        let status = match question.values.get(1) {
            None => MembershipStatus::Subscribed,
            Some(word) => word.text.parse().map_err(|why: String| Fault::at(&word.spot, why))?,
        };
        Ok(Filter::Test(Test::Member { list: list.id, status }))
    }

    fn subject(&self, name: &str, question: &Question) -> Result<Subject<'_>, Fault> {
        // A field that was made before a word of ours got its meaning keeps its own.
        Ok(match name {
            name if self.schema.field(name).is_some() => self.own(name, question)?,
            "email" => Subject::Text(Place::Email),
            "domain" => Subject::Text(Place::EmailDomain),
            "name" => Subject::Text(Place::Name),
            "language" => Subject::Text(Place::Language),
            "time_zone" => Subject::Text(Place::TimeZone),
            "status" => Subject::Status,
            "created" => Subject::Moment(Place::CreatedAt),
            "opened" => Subject::Moment(Place::LastOpenAt),
            "clicked" => Subject::Moment(Place::LastClickAt),
            "delivered" => Subject::Moment(Place::DeliveredAt),
            "deferred" => Subject::Moment(Place::DeferredAt),
            "bounced" => Subject::Moment(Place::BouncedAt),
            "bounce_class" => Subject::Text(Place::BounceClass),
            "operator" => Subject::Text(Place::Operator),
            "score" => Subject::Score,
            name => self.own(name, question)?,
        })
    }

    fn own(&self, name: &str, question: &Question) -> Result<Subject<'_>, Fault> {
        let none = || Fault::at(&question.spot, format!("there is no field '{name}'"));
        let field = self.schema.field(name).ok_or_else(none)?;
        if field.encrypted {
            let place = Place::Beside { field: field.id, numeric: false };
            return Ok(Subject::Sealed(field, place));
        }
        let numeric = field.kind.is_numeric();
        let beside = Place::Beside { field: field.id, numeric };
        Ok(Subject::Field(field, field.slot.map_or(beside, Place::Slot)))
    }

    fn field(&self, question: &Question, field: &Field, place: Place) -> Resolved {
        match field.kind {
            FieldKind::Text | FieldKind::Url => text(question, place),
            FieldKind::Json => match question.operator {
                Operator::Contains | Operator::Empty => text(question, place),
                _ => unfit(question, "a json field"),
            },
            FieldKind::Date => self.date(question, field, place),
            FieldKind::Birthday => self.birthday(question, field, place),
            FieldKind::MultiChoice => choices(question, field, place),
            FieldKind::Number => numbers(question, place, |value| stored(field, value)),
            FieldKind::Boolean | FieldKind::Choice => match question.operator {
                Operator::Equals | Operator::In | Operator::Empty => {
                    numbers(question, place, |value| stored(field, value))
                }
                _ => unfit(question, "a field of choices"),
            },
        }
    }

    /// Of a value that is sealed it can be told whether it is this one, and nothing else.
    fn sealed(&self, question: &Question, field: &Field, place: Place) -> Resolved {
        match question.operator {
            Operator::Empty => return Ok(Filter::Test(Test::Empty { place })),
            Operator::Equals | Operator::In => {}
            _ => return unfit(question, "an encrypted field"),
        }
        first(question)?;
        let mut tests = Vec::new();
        for asked in &question.values {
            let value = FieldValue::read(field, &asked.text, DateOrder::default());
            let value = value.map_err(|why| Fault::at(&asked.spot, why))?;
            let (whose, plain) = (contacts::whose(field), contacts::plain(&value));
            let compare = TextCompare::StartsWith;
            let test = |value| Filter::Test(Test::Text { place, compare, value });
            tests.extend(self.schema.sealer.indexes(whose, &plain).into_iter().map(test));
        }
        Ok(Filter::Any(tests))
    }

    /// Days since 1970, by the calendar of UTC.
    fn date(&self, question: &Question, field: &Field, place: Place) -> Resolved {
        let today = self.now.seconds().div_euclid(86_400);
        let between = |low, high| Ok(Filter::Test(Test::Between { place, low, high }));
        match question.operator {
            Operator::WithinLast => between(today - days(question)?, today),
            Operator::WithinNext => between(today, today + days(question)?),
            Operator::AnniversaryWithinNext => {
                let (from, to) = self.year_days(question)?;
                match (from, to) {
                    (1, 1231) => Ok(not_empty(place)),
                    (from, to) => Ok(Filter::Test(Test::Anniversary { place, from, to })),
                }
            }
            _ => numbers(question, place, |value| stored(field, value)),
        }
    }

    fn birthday(&self, question: &Question, field: &Field, place: Place) -> Resolved {
        match question.operator {
            Operator::AnniversaryWithinNext | Operator::WithinNext => {
                let (from, to) = self.year_days(question)?;
                match (from, to) {
                    (1, 1231) => Ok(not_empty(place)),
                    (from, to) => Ok(Filter::Test(Test::DayOfYear { place, from, to })),
                }
            }
            Operator::WithinLast => unfit(question, "a day of the year"),
            _ => numbers(question, place, |value| stored(field, value)),
        }
    }

    /// Today and the last day of the span, each as month times a hundred and day. A year or more
    /// is every day. Who was born on the 29th of February is greeted on the 28th in other years:
    /// a span that ends on the 28th then takes the 29th in.
    fn year_days(&self, question: &Question) -> Result<(i64, i64), Fault> {
        let span = days(question)?;
        if span >= 365 {
            return Ok((1, 1231));
        }
        let day = |days: i64| {
            let seconds = self.now.seconds() + days * 86_400;
            let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
            moment.to_zoned(jiff::tz::TimeZone::UTC).date()
        };
        let (from, to) = (day(0), day(span));
        let number =
            |date: jiff::civil::Date| i64::from(date.month()) * 100 + i64::from(date.day());
        let ends_short = number(to) == 228 && !to.in_leap_year();
        Ok((number(from), if ends_short { 229 } else { number(to) }))
    }

    /// How warm a contact is now, from 0 to 100; what is kept is what gave rise to it.
    fn score(&self, question: &Question) -> Resolved {
        let asked = first(question)?;
        let wrong = || Fault::at(&asked.spot, "must be a whole number from 0 to 100");
        let number: i64 = asked.text.parse().map_err(|_| wrong())?;
        if !(0..=engagement::SCORE_MAX).contains(&number) {
            return Err(wrong());
        }
        let at_least = |score: i64| {
            let value = engagement::least_heat(score, self.now);
            let (place, compare) = (Place::Heat, Compare::GreaterOrEqual);
            let test = Filter::Test(Test::Number { place, compare, value });
            // Who has done nothing has a score of 0.
            if score <= 0 { Filter::EVERYBODY } else { test }
        };
        let not = |filter| Filter::Not(Box::new(filter));
        Ok(match question.operator {
            Operator::AtLeast => at_least(number),
            Operator::Greater => at_least(number + 1),
            Operator::Less => not(at_least(number)),
            Operator::AtMost => not(at_least(number + 1)),
            Operator::Equals => Filter::All(vec![at_least(number), not(at_least(number + 1))]),
            Operator::Top if number > 0 => Filter::Test(Test::Warmest { percent: number }),
            _ => return unfit(question, "a score"),
        })
    }

    fn moment(&self, question: &Question, place: Place) -> Resolved {
        let between = |low: Timestamp, high: Timestamp| {
            Ok(Filter::Test(Test::Between { place, low: low.0, high: high.0 }))
        };
        let span = || Ok(DAY.saturating_mul(u32::try_from(days(question)?).unwrap_or(0)));
        // A day is all of its moments.
        let compare = |compare, days: i64| {
            let value = Timestamp::from_seconds(days * 86_400).0;
            Ok(Filter::Test(Test::Number { place, compare, value }))
        };
        match question.operator {
            Operator::WithinLast => between(self.now - span()?, self.now),
            Operator::WithinNext => between(self.now, self.now + span()?),
            Operator::Less => compare(Compare::Less, day(first(question)?)?),
            Operator::AtMost => compare(Compare::Less, day(first(question)?)? + 1),
            Operator::Greater => compare(Compare::GreaterOrEqual, day(first(question)?)? + 1),
            Operator::AtLeast => compare(Compare::GreaterOrEqual, day(first(question)?)?),
            Operator::Equals | Operator::Between => {
                let low = day(first(question)?)?;
                let high = question.values.last().map_or(Ok(low), day)?;
                let end = Timestamp::from_seconds((high + 1) * 86_400).0 - 1;
                between(Timestamp::from_seconds(low * 86_400), Timestamp(end))
            }
            Operator::Empty => Ok(Filter::Test(Test::Empty { place })),
            _ => unfit(question, "a moment"),
        }
    }
}

/// What became of a campaign's mail: a state of deliveries, `opened` or `clicked`.
fn campaign(question: &Question) -> Resolved {
    let asked = first(question)?;
    let wrong = |_| Fault::at(&asked.spot, "must be the number of a campaign");
    let campaign = CampaignId(asked.text.parse().map_err(wrong)?);
    let missing = || Fault::at(&question.spot, "what became of it?");
    let word = question.values.get(1).ok_or_else(missing)?;
    let fate = match word.text.to_ascii_lowercase().as_str() {
        "opened" => CampaignFate::Opened,
        "clicked" => CampaignFate::Clicked,
        state => {
            let why = |why: String| Fault::at(&word.spot, format!("{why}, opened, clicked"));
            CampaignFate::In(state.parse().map_err(why)?)
        }
    };
    Ok(Filter::Test(Test::Campaign { campaign, fate }))
}

fn first(question: &Question) -> Result<&Literal, Fault> {
    question.values.first().ok_or_else(|| Fault::at(&question.spot, "a value is missing"))
}

fn unfit<T>(question: &Question, what: &str) -> Result<T, Fault> {
    let why = format!("'{}' cannot be asked of {what}", question.operator);
    Err(Fault::at(&question.spot, why))
}

fn not_empty(place: Place) -> Filter {
    Filter::Not(Box::new(Filter::Test(Test::Empty { place })))
}

/// The number that a value is kept as.
fn stored(field: &Field, value: &Literal) -> Result<i64, Fault> {
    let read = FieldValue::read(field, &value.text, DateOrder::default());
    match read.map(|value| value.stored()) {
        Ok(Stored::Number(number)) => Ok(number),
        Ok(_) => Err(Fault::at(&value.spot, "cannot be compared")),
        Err(why) => Err(Fault::at(&value.spot, why)),
    }
}

fn day(value: &Literal) -> Result<i64, Fault> {
    date(&value.text, DateOrder::default()).map_err(|why| Fault::at(&value.spot, why))
}

/// A number and a unit, in days.
fn days(question: &Question) -> Result<i64, Fault> {
    let number = first(question)?;
    let wrong =
        || Fault::at(&number.spot, "must be a whole number of days, weeks, months or years");
    let count: i64 = number.text.parse().map_err(|_| wrong())?;
    let unit = question.values.get(1);
    let each = match unit.map_or("days", |unit| unit.text.as_str()).to_ascii_lowercase().as_str() {
        "day" | "days" => 1,
        "week" | "weeks" => 7,
        "month" | "months" => 30,
        "year" | "years" => 365,
        _ => {
            return Err(unit.map_or_else(wrong, |unit| Fault::at(&unit.spot, "is no unit of time")));
        }
    };
    let days = count.checked_mul(each).filter(|days| (0..=DAYS_MAX).contains(days));
    days.ok_or_else(|| Fault::at(&number.spot, "must be between 0 days and 100 years"))
}

/// Comparisons of what is kept as a number.
fn numbers(
    question: &Question,
    place: Place,
    read: impl Fn(&Literal) -> Result<i64, Fault>,
) -> Resolved {
    let compare =
        |compare| Ok(Filter::Test(Test::Number { place, compare, value: read(first(question)?)? }));
    match question.operator {
        Operator::Equals => compare(Compare::Equal),
        Operator::Less => compare(Compare::Less),
        Operator::AtMost => compare(Compare::LessOrEqual),
        Operator::Greater => compare(Compare::Greater),
        Operator::AtLeast => compare(Compare::GreaterOrEqual),
        Operator::Between => {
            let low = read(first(question)?)?;
            let high = question
                .values
                .get(1)
                .ok_or_else(|| Fault::at(&question.spot, "between needs two values"))?;
            Ok(Filter::Test(Test::Between { place, low, high: read(high)? }))
        }
        Operator::In => {
            first(question)?;
            let values = question.values.iter().map(read).collect::<Result<_, _>>()?;
            Ok(Filter::Test(Test::NumberIn { place, values }))
        }
        Operator::Empty => Ok(Filter::Test(Test::Empty { place })),
        _ => unfit(question, "a number, date or choice"),
    }
}

fn text(question: &Question, place: Place) -> Resolved {
    let compare = |compare| {
        let value = first(question)?.text.clone();
        Ok(Filter::Test(Test::Text { place, compare, value }))
    };
    match question.operator {
        Operator::Equals => compare(TextCompare::Equal),
        Operator::Contains => compare(TextCompare::Contains),
        Operator::StartsWith => compare(TextCompare::StartsWith),
        Operator::EndsWith => compare(TextCompare::EndsWith),
        Operator::In => {
            first(question)?;
            let values = question.values.iter().map(|value| value.text.clone()).collect();
            Ok(Filter::Test(Test::TextIn { place, values }))
        }
        Operator::Empty => Ok(Filter::Test(Test::Empty { place })),
        _ => unfit(question, "a text"),
    }
}

fn status(question: &Question) -> Resolved {
    let asked = first(question)?;
    let status: ContactStatus =
        asked.text.parse().map_err(|why: String| Fault::at(&asked.spot, why))?;
    let (place, value) = (Place::Status, status.word().to_owned());
    match question.operator {
        Operator::Equals => {
            Ok(Filter::Test(Test::Text { place, compare: TextCompare::Equal, value }))
        }
        _ => unfit(question, "a status"),
    }
}

/// `= a` is: this one among them; `in (a, b)`: any of these.
fn choices(question: &Question, field: &Field, place: Place) -> Resolved {
    let mut mask = 0;
    for value in &question.values {
        mask |= stored(field, value)?;
    }
    match question.operator {
        Operator::Equals | Operator::Contains | Operator::In => {
            first(question)?;
            Ok(Filter::Test(Test::Bits { place, mask }))
        }
        Operator::Empty => Ok(Filter::Any(vec![
            Filter::Test(Test::Empty { place }),
            Filter::Test(Test::Number { place, compare: Compare::Equal, value: 0 }),
        ])),
        _ => unfit(question, "a field of several choices"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contact::days_of;

    #[test]
    fn the_days_of_a_date_agree_with_the_days_of_the_clock() {
        let moment = Timestamp::from_seconds(1_709_164_800); // 2024-02-29
        let date = jiff::civil::date(2024, 2, 29);
        assert_eq!(moment.seconds().div_euclid(86_400), days_of(date));
    }
}
