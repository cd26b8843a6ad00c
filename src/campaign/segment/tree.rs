//! The JSON form: `{"all": […]}`, `{"any": […]}`, `{"not": {…}}`, and a test as
//! `{"field": "city", "operator": "equals", "value": "Berlin"}`, `{"tag": "vip"}`,
//! `{"list": "News", "status": "subscribed"}`, `{"campaign": 7, "fate": "opened"}`.

use serde_json::{Map, Value};

use super::expression::{Expression, Literal, Operator, Question, Spot};
use super::{DEPTH_MAX, SegmentError, TESTS_MAX, VALUES_MAX};

pub fn read(text: &str) -> Result<Expression, SegmentError> {
    let value: Value = serde_json::from_str(text).map_err(|why| SegmentError {
        place: format!("line {}, column {}", why.line(), why.column()),
        why: "this is no JSON".to_owned(),
    })?;
    let mut tests = 0;
    expression(&value, "$", 0, &mut tests)
}

fn wrong<T>(path: &str, why: impl Into<String>) -> Result<T, SegmentError> {
    Err(SegmentError { place: path.to_owned(), why: why.into() })
}

fn expression(
    value: &Value,
    path: &str,
    depth: usize,
    tests: &mut usize,
) -> Result<Expression, SegmentError> {
    let Value::Object(object) = value else {
        return wrong(path, "must be an object");
    };
    if depth > DEPTH_MAX {
        return wrong(path, "this is nested too deeply");
    }
    for (word, whole) in
        [("all", Expression::All as fn(Vec<Expression>) -> Expression), ("any", Expression::Any)]
    {
        if let Some(parts) = object.get(word) {
            alone(object, path)?;
            let path = format!("{path}.{word}");
            let Value::Array(parts) = parts else { return wrong(&path, "must be an array") };
            let part =
                |(place, part)| expression(part, &format!("{path}[{place}]"), depth + 1, tests);
            return parts.iter().enumerate().map(part).collect::<Result<_, _>>().map(whole);
        }
    }
    if let Some(part) = object.get("not") {
        alone(object, path)?;
        let inner = expression(part, &format!("{path}.not"), depth + 1, tests)?;
        return Ok(Expression::Not(Box::new(inner)));
    }
    *tests += 1;
    if *tests > TESTS_MAX {
        return wrong(path, "a segment has at most 200 tests");
    }
    question(object, path).map(Expression::Test)
}

fn alone(object: &Map<String, Value>, path: &str) -> Result<(), SegmentError> {
    if object.len() == 1 { Ok(()) } else { wrong(path, "all, any and not stand alone") }
}

fn question(object: &Map<String, Value>, path: &str) -> Result<Question, SegmentError> {
    let spot = Spot::Path(path.to_owned());
    let known: &[&str] = if object.contains_key("tag") {
        &["tag"]
    } else if object.contains_key("campaign") {
        &["campaign", "fate"]
    } else if object.contains_key("list") {
        &["list", "status"]
    } else {
        &["field", "operator", "value"]
    };
    if let Some(name) = object.keys().find(|name| !known.contains(&name.as_str())) {
        return wrong(&format!("{path}.{name}"), "is not known here");
    }
    let text = |name: &str| match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => wrong(&format!("{path}.{name}"), "must be a text"),
        None => wrong(path, format!("'{name}' is missing")),
    };
    let literal =
        |name: &str, text: String| Literal { spot: Spot::Path(format!("{path}.{name}")), text };
    if object.contains_key("tag") {
        let values = vec![literal("tag", text("tag")?)];
        return Ok(Question { spot, name: "tag".to_owned(), operator: Operator::Equals, values });
    }
    if object.contains_key("campaign") {
        let spot = Spot::Path(format!("{path}.campaign"));
        let number = object.get("campaign").and_then(Value::as_i64).unwrap_or(0);
        let campaign = Literal { spot: spot.clone(), text: number.to_string() };
        let values = vec![campaign, literal("fate", text("fate")?)];
        let (name, operator) = ("campaign".to_owned(), Operator::Equals);
        return Ok(Question { spot, name, operator, values });
    }
    if object.contains_key("list") {
        let mut values = vec![literal("list", text("list")?)];
        if object.contains_key("status") {
            values.push(literal("status", text("status")?));
        }
        return Ok(Question { spot, name: "list".to_owned(), operator: Operator::Equals, values });
    }
    let operator = match text("operator")?.parse() {
        Ok(operator) => operator,
        Err(why) => return wrong(&format!("{path}.operator"), why),
    };
    let path = format!("{path}.value");
    let values = match object.get("value") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values
            .iter()
            .enumerate()
            .map(|(place, value)| scalar(value, format!("{path}[{place}]")))
            .collect::<Result<_, _>>()?,
        Some(value) => vec![scalar(value, path.clone())?],
    };
    if values.len() > VALUES_MAX {
        return wrong(&path, "at most 200 values at once");
    }
    Ok(Question { spot, name: text("field")?, operator, values })
}

fn scalar(value: &Value, path: String) -> Result<Literal, SegmentError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return wrong(&path, "must be a text, a number, true or false"),
    };
    Ok(Literal { spot: Spot::Path(path), text })
}
