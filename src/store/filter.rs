//! A question about contacts as a typed tree, and the SQL it becomes.
//!
//! Owns:       the tree, and each operator's text on both databases.
//! Promises:   every value is bound, none is pasted; a contact without a value answers no test on
//!             it but `is empty`, so that `not` never turns an unknown into a match by accident:
//!             `not (city = x)` holds for contacts without a city.
//! Knows not:  the words a person writes it in.

use crate::model::*;

use super::database::Value;
use super::dialect::Dialect;

#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Test(Test),
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Slot(Slot),
    /// In the JSON object beside, for fields without a column.
    Beside {
        field: FieldId,
        numeric: bool,
    },
    Status,
    Language,
    TimeZone,
    CreatedAt,
    LastOpenAt,
    LastClickAt,
    DeliveredAt,
    DeferredAt,
    BouncedAt,
    BounceClass,
    /// The name of who runs the host of its address.
    Operator,
    /// As in `model::engagement`.
    Heat,
    Email,
    /// What stands behind the `@`.
    EmailDomain,
    Name,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Number {
        place: Place,
        compare: Compare,
        value: i64,
    },
    NumberIn {
        place: Place,
        values: Vec<i64>,
    },
    /// Both ends belong to it.
    Between {
        place: Place,
        low: i64,
        high: i64,
    },
    /// At least one of these bits is set.
    Bits {
        place: Place,
        mask: i64,
    },
    /// A day since 1970 whose month and day lie between these, over the end of the year when the
    /// first is the later one. Each is the month times a hundred, and the day.
    Anniversary {
        place: Place,
        from: i64,
        to: i64,
    },
    /// As `Anniversary`, of a value that is a day of the year already.
    DayOfYear {
        place: Place,
        from: i64,
        to: i64,
    },
    /// Without regard to the case of A to Z; other letters are compared as they stand, since the
    /// two databases do not agree on theirs.
    Text {
        place: Place,
        compare: TextCompare,
        value: String,
    },
    TextIn {
        place: Place,
        values: Vec<String>,
    },
    Empty {
        place: Place,
    },
    /// One of the warmest, so many in a hundred of all contacts.
    Warmest {
        percent: i64,
    },
    /// What became of a campaign's mail to the contact.
    Campaign {
        campaign: CampaignId,
        fate: CampaignFate,
    },
    Tag(TagId),
    Member {
        list: ListId,
        status: MembershipStatus,
    },
}

/// Of a mail of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CampaignFate {
    In(State),
    /// By a person, as far as can be told; who clicked has opened.
    Opened,
    Clicked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextCompare {
    Equal,
    Contains,
    StartsWith,
    EndsWith,
}

impl Filter {
    /// Everybody.
    pub const EVERYBODY: Filter = Filter::All(Vec::new());

    /// A condition over `contact_facts AS f`, and `values` with those it binds behind them; the
    /// first of them is the organization.
    pub fn compile(&self, dialect: Dialect, values: Vec<Value>) -> (String, Vec<Value>) {
        let mut text = Text { dialect, sql: String::new(), values };
        text.filter(self);
        (text.sql, text.values)
    }
}

struct Text {
    dialect: Dialect,
    sql: String,
    values: Vec<Value>,
}

impl Text {
    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::All(parts) => self.joined(parts, " AND ", "1 = 1"),
            Filter::Any(parts) => self.joined(parts, " OR ", "1 = 0"),
            Filter::Not(part) => {
                self.sql.push_str("NOT ");
                self.filter(part);
            }
            Filter::Test(test) => {
                // An unknown is a no, also below NOT.
                self.sql.push_str("COALESCE(");
                self.test(test);
                self.sql.push_str(match self.dialect {
                    Dialect::Sqlite => ", 0)",
                    Dialect::Postgres => ", FALSE)",
                });
            }
        }
    }

    fn joined(&mut self, parts: &[Filter], between: &str, none: &str) {
        self.sql.push('(');
        for (position, part) in parts.iter().enumerate() {
            self.sql.push_str(if position == 0 { "" } else { between });
            self.filter(part);
        }
        self.sql.push_str(if parts.is_empty() { none } else { "" });
        self.sql.push(')');
    }

    fn test(&mut self, test: &Test) {
        match test {
            Test::Tag(tag) => {
                let tag = self.bind(tag.0);
                self.push(&format!(
                    "EXISTS (SELECT 1 FROM contact_tags AS g \
                     WHERE g.tag = {tag} AND g.contact = f.contact)"
                ));
            }
            Test::Member { list, status } => {
                let list = self.bind(list.0);
                let status = self.bind(status.word());
                self.push(&format!(
                    "EXISTS (SELECT 1 FROM memberships AS m WHERE m.list = {list} \
                     AND m.contact = f.contact AND m.status = {status})"
                ));
            }
            Test::Campaign { campaign, fate } => self.fate(*campaign, *fate),
            Test::Warmest { percent } => {
                let percent = self.bind(*percent);
                // Whoever has done nothing is not among them, however few have.
                self.push(&format!(
                    "f.heat >= (SELECT MIN(w.heat) FROM (SELECT h.heat FROM contact_facts AS h \
                     WHERE h.organization = $1 AND h.heat IS NOT NULL ORDER BY h.heat DESC \
                     LIMIT (SELECT (COUNT(*) * {percent} + 99) / 100 FROM contact_facts AS a \
                     WHERE a.organization = $1)) AS w)"
                ));
            }
            Test::Number { place, .. }
            | Test::NumberIn { place, .. }
            | Test::Between { place, .. }
            | Test::Bits { place, .. }
            | Test::Anniversary { place, .. }
            | Test::DayOfYear { place, .. }
            | Test::Text { place, .. }
            | Test::TextIn { place, .. }
            | Test::Empty { place } => self.at(*place, test),
        }
    }

    /// All of the campaign's are found at once: it is small beside the contacts, or as large.
    fn fate(&mut self, campaign: CampaignId, fate: CampaignFate) {
        let campaign = self.bind(campaign.0);
        let of = match fate {
            CampaignFate::In(state) => {
                let state = self.bind(state.word());
                format!(
                    "SELECT d.contact FROM deliveries AS d WHERE d.campaign = {campaign} \
                     AND d.state = {state} AND d.organization = $1 AND d.contact IS NOT NULL"
                )
            }
            CampaignFate::Opened | CampaignFate::Clicked => {
                let only = match fate {
                    CampaignFate::Clicked => "AND r.first_click_at IS NOT NULL ",
                    _ => "",
                };
                format!(
                    "SELECT r.contact FROM campaign_readers AS r WHERE r.campaign = {campaign} \
                     {only}AND r.contact IS NOT NULL AND EXISTS (SELECT 1 FROM campaigns AS k \
                     WHERE k.id = {campaign} AND k.organization = $1)"
                )
            }
        };
        self.push(&format!("f.contact IN ({of})"));
    }

    /// What stands beside is looked up by the contact's id.
    fn at(&mut self, place: Place, test: &Test) {
        let (column, is_beside) = self.column(place);
        if is_beside {
            self.push("EXISTS (SELECT 1 FROM contacts AS c WHERE c.id = f.contact AND ");
        }
        self.value_test(&column, test);
        if is_beside {
            self.push(")");
        }
    }

    fn column(&mut self, place: Place) -> (String, bool) {
        let text = match place {
            Place::Slot(slot) => format!("f.{slot}"),
            Place::Status => "f.status".to_owned(),
            Place::Language => "f.language".to_owned(),
            Place::TimeZone => "f.time_zone".to_owned(),
            Place::CreatedAt => "f.created_at".to_owned(),
            Place::LastOpenAt => "f.last_open_at".to_owned(),
            Place::LastClickAt => "f.last_click_at".to_owned(),
            Place::DeliveredAt => "f.delivered_at".to_owned(),
            Place::DeferredAt => "f.deferred_at".to_owned(),
            Place::BouncedAt => "f.bounced_at".to_owned(),
            Place::BounceClass => "f.bounce_class".to_owned(),
            Place::Operator => {
                "(SELECT o.name FROM operators AS o WHERE o.id = f.operator)".to_owned()
            }
            Place::Heat => "f.heat".to_owned(),
            Place::Email => return ("c.email".to_owned(), true),
            Place::Name => return ("NULLIF(c.name, '')".to_owned(), true),
            Place::EmailDomain => return (self.dialect.domain_of("c.email"), true),
            Place::Beside { field, numeric } => {
                // The field's id is a number of ours, not a text of a person's.
                let value = self.dialect.json_text("c.more", &format!("f{}", field.0));
                let value = if numeric { format!("CAST({value} AS BIGINT)") } else { value };
                return (value, true);
            }
        };
        (text, false)
    }

    fn value_test(&mut self, column: &str, test: &Test) {
        match test {
            Test::Number { compare, value, .. } => {
                let value = self.bind(*value);
                self.push(&format!("{column} {} {value}", compare.sign()));
            }
            Test::NumberIn { values, .. } => {
                let list = self.list(values.iter().map(|value| Value::Int(*value)));
                self.push(&format!("{column} IN ({list})"));
            }
            Test::Between { low, high, .. } => {
                let (low, high) = (self.bind(*low), self.bind(*high));
                self.push(&format!("{column} BETWEEN {low} AND {high}"));
            }
            Test::Bits { mask, .. } => {
                let mask = self.bind(*mask);
                self.push(&format!("({column} & {mask}) <> 0"));
            }
            Test::Anniversary { from, to, .. } => {
                let day = self.dialect.month_and_day(column);
                self.within_year(&day, *from, *to);
            }
            Test::DayOfYear { from, to, .. } => self.within_year(column, *from, *to),
            Test::Text { compare, value, .. } => {
                let pattern = compare.pattern(&value.to_ascii_lowercase());
                let pattern = self.bind(pattern.as_str());
                let lower = self.dialect.lower(column);
                self.push(&match compare {
                    TextCompare::Equal => format!("{lower} = {pattern}"),
                    _ => format!("{lower} LIKE {pattern} ESCAPE '!'"),
                });
            }
            Test::TextIn { values, .. } => {
                let lower = self.dialect.lower(column);
                let list = self.list(values.iter().map(|v| Value::Text(v.to_ascii_lowercase())));
                self.push(&format!("{lower} IN ({list})"));
            }
            Test::Empty { .. } => self.push(&format!("{column} IS NULL")),
            Test::Tag(_) | Test::Member { .. } | Test::Campaign { .. } | Test::Warmest { .. } => {}
        }
    }

    fn within_year(&mut self, day: &str, from: i64, to: i64) {
        let joint = if from <= to { "AND" } else { "OR" };
        let (from, to) = (self.bind(from), self.bind(to));
        self.push(&format!("({day} >= {from} {joint} {day} <= {to})"));
    }

    fn list(&mut self, values: impl Iterator<Item = Value>) -> String {
        let bound: Vec<String> = values.map(|value| self.bind(value)).collect();
        bound.join(", ")
    }

    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }
}

impl Compare {
    const fn sign(self) -> &'static str {
        match self {
            Compare::Equal => "=",
            Compare::Less => "<",
            Compare::LessOrEqual => "<=",
            Compare::Greater => ">",
            Compare::GreaterOrEqual => ">=",
        }
    }
}

impl TextCompare {
    fn pattern(self, value: &str) -> String {
        let literal = || value.replace('!', "!!").replace('%', "!%").replace('_', "!_");
        match self {
            TextCompare::Equal => value.to_owned(),
            TextCompare::Contains => format!("%{}%", literal()),
            TextCompare::StartsWith => format!("{}%", literal()),
            TextCompare::EndsWith => format!("%{}", literal()),
        }
    }
}
