//! Which tables a run of a dataset walks through, in which order.

use windrow_core::id::{DatasetName, Layer, Table};
use windrow_core::{Error, Result, suggest};

use crate::project::Project;

/// The tables to compute for a dataset, inputs before what reads them.
///
/// # Errors
/// `Misconfigured` for an unknown dataset (with did-you-mean) or a circle of inputs.
pub fn tables(project: &Project, dataset: &DatasetName) -> Result<Vec<Table>> {
    let target = [Layer::Curated, Layer::Clean].into_iter().map(|layer| Table::new(layer, dataset.clone()));
    let target = target.into_iter().find(|table| project.contract(table).is_ok());
    let Some(target) = target else {
        let names: Vec<&str> = project.datasets().into_iter().map(DatasetName::as_str).collect();
        return Err(Error::misconfigured(format!("dataset `{dataset}` has no clean or curated contract"))
            .help(suggest::hint(dataset.as_str(), &names)));
    };
    let mut order = Vec::new();
    visit(project, &target, &mut Vec::new(), &mut order)?;
    Ok(order)
}

fn visit(project: &Project, table: &Table, path: &mut Vec<Table>, order: &mut Vec<Table>) -> Result<()> {
    if order.contains(table) {
        return Ok(());
    }
    if path.contains(table) {
        let circle: Vec<String> = path.iter().chain([table]).map(Table::to_string).collect();
        return Err(Error::misconfigured(format!("tables read each other in a circle: {}", circle.join(" <- "))));
    }
    path.push(table.clone());
    let contract = project.contract(table)?;
    for input in contract.transform.iter().flat_map(|transform| &transform.inputs) {
        visit(project, input, path, order)?;
    }
    path.pop();
    order.push(table.clone());
    Ok(())
}
