//! The columns of a Parquet file against the contract, by name; their order means nothing.

use std::sync::Arc;

use arrow_schema::Schema;
use windrow_core::contract::{ColumnCase, ExtraColumns, MissingColumns, Property};
use windrow_core::suggest::nearest;
use windrow_core::{Code, Contract, Place, Violation};

use super::types::widens;
use crate::read::csv::reader_place;
use crate::schema::arrow_type;

/// Finds the column of each property; `None` is null in every row.
pub(super) fn map_columns(contract: &Contract, file: &Arc<str>, schema: &Schema) -> Result<Vec<Option<usize>>, Vec<Violation>> {
    let footer = Footer { contract, file, schema };
    let found: Vec<Vec<usize>> = contract.properties.iter().map(|property| footer.places(property)).collect();
    let (mut violations, misspelt) = footer.extra(&found);
    let checked = contract.properties.iter().zip(&found).enumerate().filter(|(index, _)| !misspelt.contains(index));
    violations.extend(checked.filter_map(|(_, (property, places))| footer.check(property, places)));
    if violations.is_empty() { Ok(found.iter().map(|places| places.first().copied()).collect()) } else { Err(violations) }
}

struct Footer<'a> {
    contract: &'a Contract,
    file: &'a Arc<str>,
    schema: &'a Schema,
}

impl Footer<'_> {
    fn is_same(&self, name: &str, property: &Property) -> bool {
        let is_any_case = self.contract.reader.as_ref().is_some_and(|reader| reader.column_case == ColumnCase::Ignore);
        name == &*property.name || (is_any_case && name.to_lowercase() == property.name.to_lowercase())
    }

    fn places(&self, property: &Property) -> Vec<usize> {
        let fields = self.schema.fields().iter().enumerate();
        fields.filter(|(_, field)| self.is_same(field.name(), property)).map(|(place, _)| place).collect()
    }

    fn violation(&self, code: Code, name: &str, expected: String, demanded: &Place) -> Violation {
        let mut violation = Violation::of_file(code, self.file.clone(), expected);
        violation.column = Some(name.into());
        violation.contract = Some(self.contract.quote(demanded));
        violation
    }

    /// Undeclared columns, and which missing properties they misspell: those are no second fault.
    fn extra(&self, found: &[Vec<usize>]) -> (Vec<Violation>, Vec<usize>) {
        let properties = &self.contract.properties;
        let (mut violations, mut misspelt) = (Vec::new(), Vec::new());
        if self.contract.reader.as_ref().is_some_and(|reader| reader.extra_columns == ExtraColumns::Ignore) {
            return (violations, misspelt);
        }
        for field in self.schema.fields() {
            let name = field.name();
            if properties.iter().any(|property| self.is_same(name, property)) {
                continue;
            }
            let missing =
                properties.iter().zip(found).filter(|(_, places)| places.is_empty()).map(|(property, _)| &*property.name);
            let meant = nearest(name, missing);
            let expected = meant.map_or_else(|| "expected no such column".to_owned(), |meant| format!("did you mean `{meant}`?"));
            misspelt.extend(meant.and_then(|meant| properties.iter().position(|property| *property.name == *meant)));
            violations.push(self.violation(Code::ExtraColumn, name, expected, &reader_place(self.contract)));
        }
        (violations, misspelt)
    }

    fn check(&self, property: &Property, places: &[usize]) -> Option<Violation> {
        let name = &*property.name;
        let Some(field) = places.first().and_then(|place| self.schema.fields().get(*place)) else {
            let may_miss = self.contract.reader.as_ref().is_some_and(|reader| reader.missing_columns == MissingColumns::Null);
            let missing = || self.violation(Code::MissingColumn, name, format!("expected a column `{name}`"), &property.place);
            return (!may_miss || property.required).then(missing);
        };
        if places.len() > 1 {
            return Some(self.violation(Code::DuplicateColumn, name, format!("expected `{name}` only once"), &property.place));
        }
        let from = field.data_type();
        let expected = || format!("expected {}, found {from}", property.data_type.describe());
        let is_held = widens(from, &arrow_type(&property.data_type));
        (!is_held).then(|| self.violation(Code::ParquetSchema, name, expected(), &property.type_place))
    }
}
