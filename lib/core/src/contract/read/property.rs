//! Properties: exact types and the rules on single values.

use std::sync::Arc;

use crate::code::Code;
use crate::yaml::{Node, Value};

use super::super::data_type::{DataType, StringFormat, TimeUnit};
use super::super::literal;
use super::super::model::{Property, ValueRules};
use super::super::pattern::TimePattern;
use super::fields::{Map, Reading};
use super::keys;

const LOGICAL_TYPES: &[&str] =
    &["string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean", "map", "vector"];

/// Reads a list of properties; names must be unique without regard to case.
pub(super) fn properties(reading: &mut Reading, node: &Node, what: &str) -> Vec<Property> {
    let mut properties: Vec<Property> = Vec::new();
    for item in reading.list(node, what) {
        let Some(property) = property(reading, item, None) else { continue };
        if let Some(twin) = properties.iter().find(|other| other.name.eq_ignore_ascii_case(&property.name)) {
            let title = format!("property `{}` is declared twice, first in line {}", property.name, twin.place.line);
            reading.report_at(
                &property.place,
                1,
                Code::ContractConflict,
                title,
                "engines disagree about case; use distinct names",
            );
        }
        properties.push(property);
    }
    properties
}

/// Reads one property; a list's item has no name of its own.
fn property(reading: &mut Reading, node: &Node, item_of: Option<&str>) -> Option<Property> {
    let map = reading.map(node, "a property", keys::PROPERTY)?;
    let name = match item_of {
        Some(_) => map.get("name").and_then(Node::text).unwrap_or("item"),
        None => {
            let name = reading.require(&map, "name", "a property")?;
            column_name(reading, name)?
        }
    };
    let data_type = data_type(reading, &map, name)?;
    let mut property = Property {
        name: name.into(),
        place: node.place.clone(),
        type_place: type_place(&map),
        rules: ValueRules::default(),
        rules_place: node.place.clone(),
        required: flag(reading, &map, "required"),
        key_position: None,
        partitioned: flag(reading, &map, "partitioned"),
        source: None,
        logic: None,
        classification: map.get("classification").and_then(|node| reading.text(node, "classification")).map(str::to_owned),
        data_type,
    };
    key_position(reading, &map, &mut property);
    value_rules(reading, &map, &mut property);
    lineage(reading, &map, &mut property);
    Some(property)
}

fn column_name<'n>(reading: &mut Reading, node: &'n Node) -> Option<&'n str> {
    let name = reading.text(node, "name")?;
    let problem = if name.is_empty() || name.chars().count() > 255 {
        Some("must have 1 to 255 characters")
    } else if name.chars().any(char::is_control) {
        Some("must not hold control characters")
    } else if name.trim() != name {
        Some("must not start or end with white space")
    } else {
        None
    };
    if let Some(problem) = problem {
        reading.report(node, Code::ContractValue, format!("property name `{}` {problem}", name.escape_debug()), "");
    }
    Some(name)
}

fn flag(reading: &mut Reading, map: &Map<'_>, key: &str) -> bool {
    map.get(key).and_then(|node| reading.boolean(node, key)).unwrap_or(false)
}

fn type_place(map: &Map<'_>) -> crate::diagnostic::Place {
    map.key_place("logicalType").clone()
}

fn key_position(reading: &mut Reading, map: &Map<'_>, property: &mut Property) {
    let is_key = flag(reading, map, "primaryKey");
    let position = map.get("primaryKeyPosition").and_then(|node| reading.whole(node, "primaryKeyPosition", 1, 100));
    if position.is_some() && !is_key {
        let place = map.key_place("primaryKeyPosition");
        reading.report_at(place, 18, Code::ContractConflict, "primaryKeyPosition without `primaryKey: true`", "");
    }
    property.key_position = is_key.then(|| position.and_then(|p| u32::try_from(p).ok()).unwrap_or(1));
}

fn lineage(reading: &mut Reading, map: &Map<'_>, property: &mut Property) {
    if let Some(node) = map.get("transformSourceObjects") {
        let sources = reading.texts(node, "transformSourceObjects");
        // Only the raw column matters here; `raw.flights.dep_time` and `dep_time` name the same one.
        property.source = sources.first().map(|text| Arc::from(text.rsplit('.').next().unwrap_or(text)));
    }
    let Some(node) = map.get("transformLogic") else { return };
    let Some(logic) = reading.text(node, "transformLogic") else { return };
    let is_name =
        logic.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !logic.starts_with(|c: char| c.is_ascii_digit());
    if is_name {
        property.source = Some(logic.into());
    } else {
        property.logic = Some((logic.to_owned(), node.place.clone()));
    }
}

fn data_type(reading: &mut Reading, map: &Map<'_>, name: &str) -> Option<DataType> {
    let node = reading.require(map, "logicalType", &format!("property `{name}`"))?;
    let logical = node.text().unwrap_or_default();
    let physical = map.get("physicalType").and_then(Node::text).unwrap_or_default().to_ascii_uppercase();
    match logical {
        "integer" => integer(reading, map, name, &physical),
        "number" => number(reading, map, name, &physical),
        "boolean" => Some(boolean(reading, map)),
        "date" => Some(DataType::Date { pattern: pattern(reading, map, TimePattern::DATE, |p| p.has_date() && !p.has_time())? }),
        "timestamp" => timestamp(reading, map, &physical),
        "string" => Some(DataType::String { format: string_format(reading, map) }),
        "object" => {
            let fields = reading.require(map, "properties", &format!("object `{name}`"))?;
            Some(DataType::Struct(properties(reading, fields, "properties")))
        }
        "array" => {
            let items = reading.require(map, "items", &format!("array `{name}`"))?;
            Some(DataType::List(Box::new(property(reading, items, Some(name))?)))
        }
        "time" | "map" | "vector" => {
            let help = "use string with a pattern, integer, or an object with named fields";
            reading.report(node, Code::ContractUnsupported, format!("logicalType `{logical}` is not supported"), help);
            None
        }
        other => {
            let title = format!("logicalType `{other}` is unknown");
            reading.report(node, Code::ContractValue, title, crate::suggest::hint(other, LOGICAL_TYPES));
            None
        }
    }
}

fn options<'n>(reading: &mut Reading, map: &Map<'n>, allowed: &[&str]) -> Option<Map<'n>> {
    let node = map.get("logicalTypeOptions")?;
    reading.map(node, "logicalTypeOptions", allowed)
}

const NUMBER_OPTIONS: &[&str] = &["format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const STRING_OPTIONS: &[&str] = &["format", "minLength", "maxLength", "pattern"];
const TIME_OPTIONS: &[&str] =
    &["format", "timezone", "defaultTimezone", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
const ARRAY_OPTIONS: &[&str] = &["minItems", "maxItems", "uniqueItems"];

fn integer(reading: &mut Reading, map: &Map<'_>, name: &str, physical: &str) -> Option<DataType> {
    const FORMATS: &[(&str, (u8, bool))] = &[
        ("i8", (8, true)),
        ("i16", (16, true)),
        ("i32", (32, true)),
        ("i64", (64, true)),
        ("u8", (8, false)),
        ("u16", (16, false)),
        ("u32", (32, false)),
        ("u64", (64, false)),
    ];
    const PHYSICAL: &[(&str, (u8, bool))] =
        &[("TINYINT", (8, true)), ("SMALLINT", (16, true)), ("INT", (32, true)), ("INTEGER", (32, true)), ("BIGINT", (64, true))];
    let options = options(reading, map, NUMBER_OPTIONS);
    let declared =
        options.and_then(|options| options.get("format")).map(|node| (node, reading.word(node, "integer format", FORMATS)));
    let from_physical = PHYSICAL.iter().find(|(word, _)| *word == physical).map(|(_, value)| *value);
    match (declared, from_physical) {
        (Some((node, Some(format))), Some(other)) if format.0 != other.0 => {
            let title = format!("format and physicalType {physical} of `{name}` name different widths");
            reading.report(node, Code::ContractConflict, title, "");
            None
        }
        (Some((_, format)), _) => format.map(|(bits, signed)| DataType::Integer { bits, signed }),
        (None, Some((bits, signed))) => Some(DataType::Integer { bits, signed }),
        (None, None) => {
            let title = format!("integer `{name}` has no width");
            reading.report(
                map.node,
                Code::ContractMissingKey,
                title,
                "add `logicalTypeOptions: {format: i64}` (i8 to i64, u8 to u64)",
            );
            None
        }
    }
}

fn number(reading: &mut Reading, map: &Map<'_>, name: &str, physical: &str) -> Option<DataType> {
    let options = options(reading, map, NUMBER_OPTIONS);
    if let Some(node) = options.and_then(|options| options.get("format")) {
        return reading.word(node, "number format", &[("f32", 32), ("f64", 64)]).map(|bits| DataType::Float { bits });
    }
    let base = physical.split('(').next().unwrap_or_default().trim();
    match base {
        "DOUBLE" => Some(DataType::Float { bits: 64 }),
        "FLOAT" | "REAL" => Some(DataType::Float { bits: 32 }),
        "DECIMAL" | "NUMERIC" => decimal(reading, map, name, physical),
        _ => {
            let title = format!("number `{name}` is neither an exact decimal nor declared a float");
            let help = "add `physicalType: DECIMAL(15,2)` for money, or `physicalType: DOUBLE` for measurements";
            reading.report(map.node, Code::ContractMissingKey, title, help);
            None
        }
    }
}

fn decimal(reading: &mut Reading, map: &Map<'_>, name: &str, physical: &str) -> Option<DataType> {
    let digits = arguments(physical);
    let parsed = match digits.as_slice() {
        [precision, scale] => Some((*precision, *scale)),
        [precision] => Some((*precision, 0)),
        _ => None,
    };
    let valid = parsed.filter(|(precision, scale)| (1..=38).contains(precision) && scale <= precision);
    if valid.is_none() {
        let node = map.get("physicalType").unwrap_or(map.node);
        let title = format!("`{physical}` of `{name}` is not a decimal type");
        reading.report(
            node,
            Code::ContractValue,
            title,
            "write DECIMAL(precision,scale) with 1 <= precision <= 38 and scale <= precision",
        );
    }
    valid.map(|(precision, scale)| DataType::Decimal { precision, scale })
}

/// The numbers in parentheses of a physical type; empty when there are none or when one is no number.
fn arguments(physical: &str) -> Vec<u8> {
    let inside = physical.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let parts: Option<Vec<u8>> =
        inside.map(|text| text.split(',').map(|part| part.trim().parse().ok()).collect()).unwrap_or_default();
    parts.unwrap_or_default()
}

fn boolean(reading: &mut Reading, map: &Map<'_>) -> DataType {
    let mut tokens = (vec!["true".to_owned()], vec!["false".to_owned()]);
    let value = super::custom::windrow_value(reading, map, "a property", &["booleanTokens"], "booleanTokens");
    if let Some(value) = value
        && let Some(inner) = reading.map(value, "booleanTokens", &["true", "false"])
    {
        let read = |reading: &mut Reading, key: &str| -> Vec<String> {
            let node = inner.get(key);
            node.map(|node| reading.texts(node, key).into_iter().map(str::to_owned).collect()).unwrap_or_default()
        };
        tokens = (read(reading, "true"), read(reading, "false"));
        let clash = tokens.0.iter().find(|token| tokens.1.contains(token));
        if tokens.0.is_empty() || tokens.1.is_empty() {
            reading.report(value, Code::ContractValue, "booleanTokens needs at least one text for true and one for false", "");
        } else if let Some(clash) = clash {
            reading.report(value, Code::ContractConflict, format!("`{clash}` means both true and false"), "");
        }
    }
    DataType::Boolean { true_tokens: tokens.0, false_tokens: tokens.1 }
}

fn pattern(reading: &mut Reading, map: &Map<'_>, default: &str, fits: fn(&TimePattern) -> bool) -> Option<TimePattern> {
    let node = options(reading, map, TIME_OPTIONS).and_then(|options| options.get("format"));
    let text = node.and_then(Node::text).unwrap_or(default);
    let problem = match TimePattern::parse(text) {
        Ok(pattern) if fits(&pattern) => return Some(pattern),
        Ok(_) => "it does not have the parts the type needs".to_owned(),
        Err(problem) => problem,
    };
    let node = node.unwrap_or(map.node);
    reading.report(
        node,
        Code::ContractValue,
        format!("format `{text}`: {problem}"),
        "patterns look like yyyy-MM-dd'T'HH:mm:ss[.SSSSSS]XXX",
    );
    None
}

fn timestamp(reading: &mut Reading, map: &Map<'_>, physical: &str) -> Option<DataType> {
    let unit = match arguments(physical).as_slice() {
        [] if !physical.contains('(') => TimeUnit::Micro,
        [3] => TimeUnit::Milli,
        [6] => TimeUnit::Micro,
        [9] => TimeUnit::Nano,
        _ => {
            let node = map.get("physicalType").unwrap_or(map.node);
            let help = "write TIMESTAMP(3), TIMESTAMP(6) or TIMESTAMP(9): milli-, micro- or nanoseconds";
            reading.report(node, Code::ContractValue, format!("`{physical}` is not a timestamp type"), help);
            return None;
        }
    };
    let options = options(reading, map, TIME_OPTIONS);
    let instant =
        options.and_then(|options| options.get("timezone")).and_then(|node| reading.boolean(node, "timezone")).unwrap_or(false);
    let zone_node = options.and_then(|options| options.get("defaultTimezone"));
    let default_zone = zone_node.and_then(|node| zone(reading, node, "defaultTimezone"));
    let default = if instant && default_zone.is_none() { TimePattern::INSTANT } else { TimePattern::LOCAL };
    let pattern = pattern(reading, map, default, TimePattern::has_date)?;
    let conflict = match (instant, pattern.has_offset(), &default_zone) {
        (false, true, _) => Some("the format has an offset, but `timezone` is not true: the offset would be lost"),
        (true, false, None) => Some("`timezone: true` needs an offset (XXX) in the format, or a defaultTimezone"),
        (true, true, Some(_)) => Some("defaultTimezone has no effect when the format has an offset"),
        _ => None,
    };
    if let Some(conflict) = conflict {
        reading.report(map.get("logicalTypeOptions").unwrap_or(map.node), Code::ContractConflict, conflict, "");
    }
    // A wall-clock timestamp keeps no zone; ODCS documents often name one all the same, as a hint for people.
    Some(DataType::Timestamp { unit, instant, default_zone: default_zone.filter(|_| instant), pattern })
}

/// Reads the IANA name of a zone.
pub(super) fn zone(reading: &mut Reading, node: &Node, what: &str) -> Option<String> {
    let name = reading.text(node, what)?;
    if jiff::tz::TimeZone::get(name).is_err() {
        let title = format!("{what} `{name}` is not an IANA time zone");
        reading.report(node, Code::ContractValue, title, "write a name such as UTC or America/New_York");
        return None;
    }
    Some(name.to_owned())
}

fn string_format(reading: &mut Reading, map: &Map<'_>) -> Option<StringFormat> {
    const FORMATS: &[(&str, StringFormat)] = &[
        ("uuid", StringFormat::Uuid),
        ("email", StringFormat::Email),
        ("uri", StringFormat::Uri),
        ("ipv4", StringFormat::Ipv4),
        ("ipv6", StringFormat::Ipv6),
        ("hostname", StringFormat::Hostname),
    ];
    let node = options(reading, map, STRING_OPTIONS)?.get("format")?;
    reading.word(node, "string format", FORMATS)
}

fn value_rules(reading: &mut Reading, map: &Map<'_>, property: &mut Property) {
    let node = map.get("logicalTypeOptions");
    let inner = node.map(|node| match &node.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Scalar { .. } | Value::List(_) => &[],
    });
    for (key, value) in inner.unwrap_or_default() {
        let name = key.text().unwrap_or_default();
        let allowed = match &property.data_type {
            DataType::List(_) => ARRAY_OPTIONS,
            DataType::Boolean { .. } | DataType::Struct(_) => &[],
            _ => continue_options(&property.data_type),
        };
        if !allowed.contains(&name) {
            let title = format!("unknown key `{name}` in logicalTypeOptions of {}", property.data_type.describe());
            if matches!(property.data_type, DataType::List(_) | DataType::Boolean { .. } | DataType::Struct(_)) {
                reading.report(key, Code::ContractUnknownKey, title, crate::suggest::hint(name, allowed));
            }
            continue;
        }
        one_rule(reading, name, value, property);
    }
    if let Some(node) = map.get("logicalTypeOptions").filter(|_| property.rules != ValueRules::default()) {
        property.rules_place = node.place.clone();
    }
    allowed_values(reading, map, property);
}

fn continue_options(data_type: &DataType) -> &'static [&'static str] {
    match data_type {
        DataType::String { .. } => STRING_OPTIONS,
        DataType::Date { .. } | DataType::Timestamp { .. } => TIME_OPTIONS,
        _ => NUMBER_OPTIONS,
    }
}

fn one_rule(reading: &mut Reading, name: &str, value: &Node, property: &mut Property) {
    match name {
        "minimum" => property.rules.minimum = bound(reading, name, value, property),
        "maximum" => property.rules.maximum = bound(reading, name, value, property),
        "exclusiveMinimum" => property.rules.exclusive_minimum = bound(reading, name, value, property),
        "exclusiveMaximum" => property.rules.exclusive_maximum = bound(reading, name, value, property),
        "multipleOf" => property.rules.multiple_of = multiple_of(reading, value, property),
        "minLength" | "minItems" => property.rules.min_length = reading.whole(value, name, 0, u64::MAX),
        "maxLength" | "maxItems" => property.rules.max_length = reading.whole(value, name, 0, u64::MAX),
        "uniqueItems" if reading.boolean(value, name) == Some(true) => {
            reading.report(value, Code::ContractUnsupported, "uniqueItems is not supported", "check it with an SQL check");
        }
        "pattern" => {
            let Some(pattern) = reading.text(value, name) else { return };
            match regex::Regex::new(&format!("^(?:{pattern})$")) {
                Ok(_) => property.rules.pattern = Some(pattern.to_owned()),
                Err(error) => {
                    let first = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
                    reading.report(value, Code::ContractValue, format!("pattern is not a regular expression: {first}"), "");
                }
            }
        }
        _ => {}
    }
    let rules = &property.rules;
    if rules.min_length.zip(rules.max_length).is_some_and(|(least, most)| least > most) {
        reading.report(value, Code::ContractConflict, format!("no length is legal for `{}`", property.name), "");
    }
}

fn bound(reading: &mut Reading, name: &str, value: &Node, property: &Property) -> Option<String> {
    let text = reading.text(value, name)?;
    match literal::check(&property.data_type, text) {
        Ok(()) => Some(text.to_owned()),
        Err(problem) => {
            reading.report(value, Code::ContractValue, format!("{name} `{text}` of `{}`: {problem}", property.name), "");
            None
        }
    }
}

fn multiple_of(reading: &mut Reading, value: &Node, property: &Property) -> Option<String> {
    let exact = matches!(property.data_type, DataType::Integer { .. } | DataType::Decimal { .. });
    if !exact {
        reading.report(value, Code::ContractConflict, "multipleOf needs an integer or a decimal", "");
        return None;
    }
    let text = bound(reading, "multipleOf", value, property)?;
    let positive = !text.starts_with('-') && text.bytes().any(|b| (b'1'..=b'9').contains(&b));
    if !positive {
        reading.report(value, Code::ContractValue, "multipleOf must be greater than 0", "");
    }
    positive.then_some(text)
}

fn allowed_values(reading: &mut Reading, map: &Map<'_>, property: &mut Property) {
    let Some(node) = map.get("enum") else { return };
    if property.data_type.is_nested() || matches!(property.data_type, DataType::Float { .. }) {
        reading.report(node, Code::ContractConflict, format!("{} cannot have an enum", property.data_type.describe()), "");
        return;
    }
    property.rules_place = map.key_place("enum").clone();
    for item in reading.list(node, "enum") {
        let value = match &item.value {
            Value::Map(_) => {
                let keys = ["value", "label", "id", "description", "customProperties", "authoritativeDefinitions", "tags"];
                let Some(entry) = reading.map(item, "an enum value", &keys) else { continue };
                reading.require(&entry, "value", "an enum value")
            }
            Value::Scalar { .. } | Value::List(_) => Some(item),
        };
        let Some(value) = value else { continue };
        if let Some(text) = bound(reading, "enum value", value, property) {
            property.rules.allowed.push(text);
        }
    }
}
