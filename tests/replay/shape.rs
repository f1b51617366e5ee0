//! The shape of a payload: which keys it has, and of which types.

use serde_json::Value;

/// What the recorded shape has and `actual` has not, as paths below `path`. Keys that are only in `actual` are fine.
///
/// An empty list says nothing about its elements, and `null` may stand for any value, on either side: the recorded
/// gateway and ours have different things to tell.
pub(crate) fn missing(path: &str, recorded: &Value, actual: &Value) -> Vec<String> {
    match (recorded, actual) {
        (_, Value::Null) => Vec::new(),
        (Value::Object(keys), Value::Object(fields)) => {
            let below = |(key, shape): (&String, &Value)| match fields.get(key) {
                Some(value) => missing(&format!("{path}.{key}"), shape, value),
                None => vec![format!("{path}.{key}")],
            };
            keys.iter().flat_map(below).collect()
        }
        (Value::Array(shapes), Value::Array(elements)) => {
            let shape = shapes.first().expect("the shape of the elements");
            let mut all: Vec<String> =
                elements.iter().flat_map(|element| missing(&format!("{path}[]"), shape, element)).collect();
            all.sort();
            all.dedup();
            all
        }
        (Value::String(kind), _) if kind == "null" || kind == name(actual) => Vec::new(),
        _ => vec![format!("{path}: {} for {}", name(actual), wanted(recorded))],
    }
}

fn wanted(shape: &Value) -> &str {
    shape.as_str().unwrap_or_else(|| name(shape))
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}
