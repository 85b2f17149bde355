//! Thresholds: the ODCS comparison keys, of which a rule has exactly one.

use crate::code::Code;
use crate::gate::{Number, Threshold};
use crate::yaml::Node;

use super::fields::{Map, Reading, plain};

/// The comparison keys of ODCS.
pub(crate) const KEYS: &[&str] = &[
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
];

/// Reads the one threshold key of a rule.
pub(crate) fn read(reading: &mut Reading, map: &Map<'_>, what: &str) -> Option<Threshold> {
    let given: Vec<&str> = KEYS.iter().copied().filter(|key| map.get(key).is_some()).collect();
    let key = match given.as_slice() {
        [key] => *key,
        [] => {
            reading.report(
                map.node,
                Code::ContractMissingKey,
                format!("{what} has no threshold"),
                "add one, such as `mustBe: 0`",
            );
            return None;
        }
        _ => {
            let title = format!("{what} has several thresholds: {}", given.join(", "));
            reading.report(map.node, Code::ContractConflict, title, "write one rule for each");
            return None;
        }
    };
    let node = map.get(key)?;
    if key == "mustBeBetween" || key == "mustNotBeBetween" {
        return between(reading, node, key);
    }
    let bound = number(reading, node, key)?;
    Some(match key {
        "mustBe" => Threshold::MustBe(bound),
        "mustNotBe" => Threshold::MustNotBe(bound),
        "mustBeGreaterThan" => Threshold::MustBeGreaterThan(bound),
        "mustBeGreaterOrEqualTo" => Threshold::MustBeGreaterOrEqualTo(bound),
        "mustBeLessThan" => Threshold::MustBeLessThan(bound),
        _ => Threshold::MustBeLessOrEqualTo(bound),
    })
}

fn between(reading: &mut Reading, node: &Node, key: &str) -> Option<Threshold> {
    let bounds: Vec<Number> = reading.list(node, key).iter().filter_map(|item| number(reading, item, key)).collect();
    match bounds.as_slice() {
        [low, high] if low < high && key == "mustBeBetween" => Some(Threshold::MustBeBetween(*low, *high)),
        [low, high] if low < high => Some(Threshold::MustNotBeBetween(*low, *high)),
        _ => {
            reading.report(
                node,
                Code::ContractValue,
                format!("{key} must be two numbers, the smaller first"),
                "both ends are exclusive",
            );
            None
        }
    }
}

fn number(reading: &mut Reading, node: &Node, what: &str) -> Option<Number> {
    let number = plain(node).and_then(Number::parse);
    if number.is_none() {
        reading.wrong_kind(node, what, "a plain decimal number");
    }
    number
}
