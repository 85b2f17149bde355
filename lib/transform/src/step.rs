//! A function of ours as a step of a polars plan, called with every batch on the thread that has it.

use std::sync::Arc;

use polars::polars_utils::arena::Node;
use polars::prelude::{DataFrame, PolarsResult, Schema};
use polars_plan::plans::{FunctionIR, IR, IRPlan};

/// Adds a step above a node. `schema` is that of what it yields; without one it yields the columns it is given. The order of batches
/// stays, and nothing is pushed through it.
pub(crate) fn add_step(
    plan: &mut IRPlan,
    (name, input): (&'static str, Node),
    schema: Option<Schema>,
    function: impl Fn(DataFrame) -> PolarsResult<DataFrame> + Send + Sync + 'static,
) -> Node {
    let schema = schema.map(Arc::new);
    let function = FunctionIR::Opaque {
        function: Arc::new(function),
        schema: schema.map(|schema| Arc::new(move |_: &Schema| Ok(schema.clone())) as _),
        predicate_pd: false,
        projection_pd: false,
        streamable: true,
        fmt_str: name.into(),
    };
    plan.lp_arena.add(IR::MapFunction { input, function })
}
