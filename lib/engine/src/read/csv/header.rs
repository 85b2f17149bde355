//! The header against the contract: which column of the file is which property, and everything that is not as declared.

use windrow_core::contract::{ColumnCase, ColumnOrder, ExtraColumns, MissingColumns, Property};
use windrow_core::suggest::nearest;
use windrow_core::{Code, Contract};

/// Which column of the file is which property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// For each property its column in the file; `None` is null in every row.
    pub(crate) columns: Vec<Option<usize>>,
    /// How many columns the file has.
    pub(crate) width: usize,
}

impl Layout {
    /// Without a header the columns stand as declared.
    pub(crate) fn positional(contract: &Contract) -> Self {
        let width = contract.properties.len();
        Layout { columns: (0..width).map(Some).collect(), width }
    }

    /// The property in this column of the file.
    pub(crate) fn property(&self, column: usize) -> Option<usize> {
        self.columns.iter().position(|candidate| *candidate == Some(column))
    }
}

/// Something wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderFault {
    pub(crate) code: Code,
    /// The column of the file, when one is to blame.
    pub(crate) place: Option<usize>,
    /// The property, when one is to blame.
    pub(crate) property: Option<usize>,
    pub(crate) expected: String,
}

/// Maps a header's names to properties.
///
/// A misspelt name is one fault, not an extra and a missing column: when undeclared columns are refused, an undeclared
/// name near a missing one is reported alone, with the name that was meant.
///
/// # Errors
/// Every fault, in the order of the file's columns, missing columns last.
pub(crate) fn layout(contract: &Contract, names: &[String]) -> Result<Layout, Vec<HeaderFault>> {
    let Some(reader) = &contract.reader else {
        return Ok(Layout::positional(contract));
    };
    let properties = &contract.properties;
    let same = |property: &Property, name: &str| property.name.to_lowercase() == name.to_lowercase();
    if !names.iter().any(|name| properties.iter().any(|property| same(property, name))) {
        let wanted: Vec<&str> = properties.iter().map(|property| &*property.name).take(8).collect();
        let expected = format!("expected a header with {}", wanted.join(", "));
        return Err(vec![HeaderFault { code: Code::MissingHeader, place: None, property: None, expected }]);
    }
    let mut found = Found { columns: vec![None; properties.len()], faults: Vec::new(), extra: Vec::new() };
    for (place, name) in names.iter().enumerate() {
        let exact = properties.iter().position(|property| *property.name == **name);
        let matching = exact.or_else(|| properties.iter().position(|property| same(property, name)));
        match matching {
            Some(property) => {
                found.declared(properties, place, property, exact.is_some() || reader.column_case == ColumnCase::Ignore)
            }
            None => found.extra.push(place),
        }
    }
    if reader.extra_columns == ExtraColumns::Fail {
        found.refuse_extra(properties, names);
    }
    found.refuse_missing(properties, reader.missing_columns);
    if reader.column_order == ColumnOrder::Strict && found.faults.is_empty() {
        found.refuse_order(properties);
    }
    if found.faults.is_empty() { Ok(Layout { columns: found.columns, width: names.len() }) } else { Err(found.faults) }
}

struct Found {
    columns: Vec<Option<usize>>,
    faults: Vec<HeaderFault>,
    extra: Vec<usize>,
}

impl Found {
    fn fault(&mut self, code: Code, place: Option<usize>, property: Option<usize>, expected: String) {
        self.faults.push(HeaderFault { code, place, property, expected });
    }

    fn declared(&mut self, properties: &[Property], place: usize, property: usize, is_case_right: bool) {
        let name = properties.get(property).map_or("", |property| &*property.name);
        match self.columns.get_mut(property) {
            Some(Some(_)) => {
                self.fault(Code::DuplicateColumn, Some(place), Some(property), format!("expected `{name}` only once"))
            }
            Some(column) => {
                *column = Some(place);
                if !is_case_right {
                    self.fault(Code::ColumnCase, Some(place), Some(property), format!("expected `{name}`"));
                }
            }
            None => {}
        }
    }

    fn refuse_extra(&mut self, properties: &[Property], names: &[String]) {
        for place in std::mem::take(&mut self.extra) {
            let name = names.get(place).map_or("", String::as_str);
            let missing = || {
                properties.iter().zip(&self.columns).filter(|(_, column)| column.is_none()).map(|(property, _)| &*property.name)
            };
            let meant =
                nearest(name, missing()).and_then(|meant| properties.iter().position(|property| &*property.name == meant));
            let expected = match meant.and_then(|meant| properties.get(meant)) {
                Some(meant) => format!("did you mean `{}`?", meant.name),
                None => "expected no such column".to_owned(),
            };
            if let Some(column) = meant.and_then(|meant| self.columns.get_mut(meant)) {
                *column = Some(place);
            }
            self.fault(Code::ExtraColumn, Some(place), meant, expected);
        }
        self.faults.sort_by_key(|fault| fault.place);
    }

    fn refuse_missing(&mut self, properties: &[Property], policy: MissingColumns) {
        for (index, property) in properties.iter().enumerate() {
            let is_missing = self.columns.get(index).is_some_and(Option::is_none);
            if is_missing && (policy == MissingColumns::Fail || property.required) {
                self.fault(Code::MissingColumn, None, Some(index), format!("expected a column `{}`", property.name));
            }
        }
    }

    fn refuse_order(&mut self, properties: &[Property]) {
        let found: Vec<(usize, usize)> =
            self.columns.iter().enumerate().filter_map(|(property, column)| column.map(|column| (property, column))).collect();
        let mut sorted: Vec<usize> = found.iter().map(|(_, column)| *column).collect();
        sorted.sort_unstable();
        let first = found.iter().zip(sorted).find(|((_, column), place)| column != place);
        if let Some(((property, _), place)) = first {
            let name = properties.get(*property).map_or("", |property| &*property.name);
            self.fault(Code::ReorderedColumns, Some(place), Some(*property), format!("expected `{name}` here"));
        }
    }
}
