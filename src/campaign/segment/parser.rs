//! The text form: a descent, one function for each level.

use super::expression::{Expression, Fault, Literal, Operator, Question, Spot};
use super::lexer::{Token, tokens};
use super::{DEPTH_MAX, TESTS_MAX, VALUES_MAX};

pub fn read(text: &str) -> Result<Expression, Fault> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, tests: 0 };
    if parser.peek() == &Token::End {
        return Ok(Expression::All(Vec::new()));
    }
    let expression = parser.either(0)?;
    match parser.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.fault("expected 'and', 'or' or the end")),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    tests: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].1
    }

    fn spot(&self) -> Spot {
        Spot::Offset(self.tokens[self.at].0)
    }

    fn fault(&self, why: &str) -> Fault {
        Fault::at(&self.spot(), why)
    }

    fn step(&mut self) -> Token {
        let token = self.tokens[self.at].1.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Takes this word, whatever its case, if it comes next.
    fn word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Token::Word(next) if next.eq_ignore_ascii_case(word));
        if is {
            self.step();
        }
        is
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Token::Sign(next) if *next == sign);
        if is {
            self.step();
        }
        is
    }

    fn demand(&mut self, sign: &str) -> Result<(), Fault> {
        if self.sign(sign) { Ok(()) } else { Err(self.fault(&format!("expected '{sign}'"))) }
    }

    fn demand_word(&mut self, word: &str) -> Result<(), Fault> {
        if self.word(word) { Ok(()) } else { Err(self.fault(&format!("expected '{word}'"))) }
    }

    fn either(&mut self, depth: usize) -> Result<Expression, Fault> {
        let mut parts = vec![self.both(depth)?];
        while self.word("or") {
            parts.push(self.both(depth)?);
        }
        Ok(only_or(parts, Expression::Any))
    }

    fn both(&mut self, depth: usize) -> Result<Expression, Fault> {
        let mut parts = vec![self.one(depth)?];
        while self.word("and") {
            parts.push(self.one(depth)?);
        }
        Ok(only_or(parts, Expression::All))
    }

    fn one(&mut self, depth: usize) -> Result<Expression, Fault> {
        if depth >= DEPTH_MAX {
            return Err(self.fault("this is nested too deeply"));
        }
        if self.word("not") {
            return Ok(Expression::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.sign("(") {
            let inner = self.either(depth + 1)?;
            self.demand(")")?;
            return Ok(inner);
        }
        self.test()
    }

    fn test(&mut self) -> Result<Expression, Fault> {
        self.tests += 1;
        if self.tests > TESTS_MAX {
            return Err(self.fault("a segment has at most 200 tests"));
        }
        let spot = self.spot();
        let Token::Word(name) = self.step() else {
            return Err(Fault::at(&spot, "expected a field, 'tag', 'list', 'not' or '('"));
        };
        if name.eq_ignore_ascii_case("tag") {
            let values = vec![self.literal()?];
            return Ok(asked(spot, "tag", Operator::Equals, values));
        }
        if name.eq_ignore_ascii_case("campaign") {
            let campaign = self.literal()?;
            self.demand_word("is")?;
            let values = vec![campaign, self.literal()?];
            return Ok(asked(spot, "campaign", Operator::Equals, values));
        }
        if name.eq_ignore_ascii_case("list") {
            let mut values = vec![self.literal()?];
            if self.word("is") {
                values.push(self.literal()?);
            }
            return Ok(asked(spot, "list", Operator::Equals, values));
        }
        self.comparison(spot, &name)
    }

    fn comparison(&mut self, spot: Spot, name: &str) -> Result<Expression, Fault> {
        let negated = |expression| Expression::Not(Box::new(expression));
        for (sign, operator, is_negated) in [
            ("=", Operator::Equals, false),
            ("!=", Operator::Equals, true),
            ("<>", Operator::Equals, true),
            ("<=", Operator::AtMost, false),
            (">=", Operator::AtLeast, false),
            ("<", Operator::Less, false),
            (">", Operator::Greater, false),
        ] {
            if self.sign(sign) {
                let test = asked(spot, name, operator, vec![self.literal()?]);
                return Ok(if is_negated { negated(test) } else { test });
            }
        }
        if self.word("is") {
            let is_negated = self.word("not");
            self.demand_word("empty")?;
            let test = asked(spot, name, Operator::Empty, Vec::new());
            return Ok(if is_negated { negated(test) } else { test });
        }
        let is_negated = self.word("not");
        let (operator, values) = self.worded()?;
        let test = asked(spot, name, operator, values);
        Ok(if is_negated { negated(test) } else { test })
    }

    /// The operators that are words, and what they compare with.
    fn worded(&mut self) -> Result<(Operator, Vec<Literal>), Fault> {
        if self.word("in") {
            return Ok((Operator::In, self.list()?));
        }
        if self.word("between") {
            let low = self.literal()?;
            self.demand_word("and")?;
            return Ok((Operator::Between, vec![low, self.literal()?]));
        }
        if self.word("contains") {
            return Ok((Operator::Contains, vec![self.literal()?]));
        }
        if self.word("before") {
            return Ok((Operator::Less, vec![self.literal()?]));
        }
        if self.word("after") {
            return Ok((Operator::Greater, vec![self.literal()?]));
        }
        for (word, operator) in [("starts", Operator::StartsWith), ("ends", Operator::EndsWith)] {
            if self.word(word) {
                self.demand_word("with")?;
                return Ok((operator, vec![self.literal()?]));
            }
        }
        if self.word("within") {
            let operator = match (self.word("last"), self.word("next")) {
                (true, _) => Operator::WithinLast,
                (_, true) => Operator::WithinNext,
                _ => return Err(self.fault("expected 'last' or 'next'")),
            };
            return Ok((operator, vec![self.literal()?, self.literal()?]));
        }
        if self.word("top") {
            return Ok((Operator::Top, vec![self.literal()?]));
        }
        if self.word("anniversary") {
            let spot = self.spot();
            if self.word("today") {
                let literal = |text: &str| Literal { spot: spot.clone(), text: text.to_owned() };
                let values = vec![literal("0"), literal("days")];
                return Ok((Operator::AnniversaryWithinNext, values));
            }
            self.demand_word("within")?;
            self.demand_word("next")?;
            let values = vec![self.literal()?, self.literal()?];
            return Ok((Operator::AnniversaryWithinNext, values));
        }
        Err(self.fault(
            "expected = != < <= > >= in, between, contains, starts with, ends with, before, \
             after, within, anniversary, top or is empty",
        ))
    }

    fn list(&mut self) -> Result<Vec<Literal>, Fault> {
        self.demand("(")?;
        let mut values = vec![self.literal()?];
        while self.sign(",") {
            if values.len() >= VALUES_MAX {
                return Err(self.fault("at most 200 values at once"));
            }
            values.push(self.literal()?);
        }
        self.demand(")")?;
        Ok(values)
    }

    fn literal(&mut self) -> Result<Literal, Fault> {
        let spot = self.spot();
        match self.step() {
            Token::Word(text) | Token::Text(text) => Ok(Literal { spot, text }),
            _ => Err(Fault::at(&spot, "expected a value")),
        }
    }
}

fn only_or(mut parts: Vec<Expression>, whole: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            whole(parts)
        }
    }
}

fn asked(spot: Spot, name: &str, operator: Operator, values: Vec<Literal>) -> Expression {
    Expression::Test(Question { spot, name: name.to_owned(), operator, values })
}
