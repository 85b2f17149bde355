//! Decimal arithmetic against what polars computes, and where digits run out.

use polars::prelude::{DataFrame, Expr, IntoLazy, LazyFrame, LiteralValue as Literal, NamedFrom, Scalar, Series, col};
use proptest::prelude::*;

use super::*;
use crate::fixture::whole;
use crate::guard::{Sums, expressions, guard};

fn decimals(name: &str, numbers: &[Option<i128>], scale: usize, precision: usize) -> Column {
    let values = numbers.iter().map(|number| number.map_or(AnyValue::Null, |number| AnyValue::Decimal(number, precision, scale)));
    let data_type = DataType::Decimal(precision, scale);
    Series::from_any_values_and_dtype(name.into(), &values.collect::<Vec<_>>(), &data_type, true).unwrap().into()
}

fn frame(numbers: &[Option<i64>]) -> DataFrame {
    let of =
        |factor: i128| numbers.iter().rev().map(|number| number.map(|number| i128::from(number) * factor)).collect::<Vec<_>>();
    let shuffled = |skip: usize| {
        let mut all = of(1);
        all.rotate_left(skip % numbers.len().max(1));
        all
    };
    let dense: Vec<Option<i128>> = shuffled(2).into_iter().map(|number| number.or(Some(7))).collect();
    DataFrame::new_infer_height(vec![
        decimals("a", &shuffled(0), 2, 15),
        decimals("b", &dense, 4, 20),
        decimals("c", &of(1_000_003), 0, 38),
        Series::new("i".into(), (0..numbers.len() as i64).collect::<Vec<_>>()).into(),
    ])
    .unwrap()
}

fn literal(number: i128, scale: usize) -> Expr {
    let data_type = DataType::Decimal(38, scale);
    Expr::Literal(Literal::Scalar(Scalar::new(data_type, AnyValue::Decimal(number, 38, scale))))
}

fn expression() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["a", "b", "c"]).prop_map(col),
        (-1000_i128..1000, 0_usize..4).prop_map(|(number, scale)| literal(number, scale)),
        Just(col("i").cast(DataType::Decimal(38, 0))),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone(), 0..3).prop_map(|(a, b, op)| match op {
                0 => a + b,
                1 => a - b,
                _ => a * b,
            }),
            (inner, prop::sample::select(vec![(38, 0), (38, 2), (38, 6), (22, 4), (15, 2)]), any::<bool>()).prop_map(
                |(inner, (precision, scale), is_strict)| {
                    let data_type = DataType::Decimal(precision, scale);
                    if is_strict { inner.strict_cast(data_type) } else { inner.cast(data_type) }
                }
            ),
        ]
    })
}

/// How many functions of ours the plan of an expression holds that compute.
fn fusions(frame: LazyFrame) -> usize {
    let mut plan = frame.to_alp_optimized().unwrap();
    guard(&mut plan, &Sums::Doubled).unwrap();
    let roots: Vec<Node> = expressions(&plan).into_iter().flat_map(|(roots, _)| roots).collect();
    let mut stack = roots;
    let mut found = 0;
    while let Some(node) = stack.pop() {
        let expression = plan.expr_arena.get(node);
        found += usize::from(matches!(expression, AExpr::AnonymousFunction { .. }));
        expression.children_rev(&mut stack);
    }
    found
}

fn select(expression: Expr) -> LazyFrame {
    frame(&[Some(150), None, Some(-3)]).lazy().select([expression.alias("x")])
}

#[test]
fn arithmetic_that_needs_no_rounding_is_one_function() {
    let wide = |expression: Expr| expression.strict_cast(DataType::Decimal(38, 4));
    let revenue = wide(col("a")) * wide(literal(1, 0) - col("a"));
    assert_eq!(fusions(select(revenue.clone())), 1);
    assert_eq!(fusions(select(wide(col("a")) * (literal(100, 2) - col("a")))), 1, "1.00 has no digits after the point");
    let result = whole(select(revenue)).unwrap();
    let found: Vec<AnyValue<'_>> = result.columns()[0].as_materialized_series().iter().collect();
    // -0.03 x 1.03, null, 1.50 x -0.50
    assert_eq!(found, [AnyValue::Decimal(-309, 38, 4), AnyValue::Null, AnyValue::Decimal(-7500, 38, 4)]);
}

#[test]
fn no_rows_and_a_single_value_beside_rows_are_computed_too() {
    let doubled = || col("a") + col("a");
    assert_eq!(whole(frame(&[]).lazy().select([doubled()])).unwrap().height(), 0);
    assert_eq!(whole(frame(&[]).lazy().select([doubled().sum()])).unwrap().height(), 1);
    for (single, expected) in [(Some(5), [Some(6), None]), (None, [None, None])] {
        let (rows, one) = (decimals("a", &[Some(1), None], 0, 38), decimals("a", &[single], 0, 38));
        let sum = Exact::Binary(Box::new(Exact::Column(0)), Operator::Plus, Box::new(Exact::Column(1)));
        let function = Function { exact: sum, precision: 38, scale: 0, watched: None };
        let found = function.call_udf(&mut [rows, one]).unwrap();
        let found: Vec<Option<i128>> = found.as_materialized_series().decimal().unwrap().physical().iter().collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn what_rounds_cuts_or_turns_into_null_stays_with_polars() {
    let a = || col("a");
    for kept in [
        a() * a(),
        a() * literal(5, 1),
        a().strict_cast(DataType::Decimal(38, 1)) + a().strict_cast(DataType::Decimal(38, 1)),
        (a() + a()).strict_cast(DataType::Decimal(10, 2)),
        col("i") + col("i"),
        a().cast(DataType::Decimal(38, 4)),
        a(),
    ] {
        let computed = fusions(select(kept.clone()));
        let is_inner_sum = kept.to_string().contains("strict_cast");
        assert!(computed <= usize::from(is_inner_sum), "{kept}");
    }
}

#[test]
fn a_result_of_more_than_38_digits_is_an_error() {
    let most = 10_i128.pow(38) - 1;
    let frame = |numbers: &[Option<i128>]| DataFrame::new_infer_height(vec![decimals("a", numbers, 0, 38)]).unwrap().lazy();
    let twice = col("a") + col("a");
    assert!(whole(frame(&[Some(1), Some(most)]).select([twice.clone()])).is_err());
    assert!(whole(frame(&[Some(1), Some(-most)]).select([twice.clone()])).is_err());
    assert!(whole(frame(&[Some(most), None]).select([col("a") * col("a")])).is_err());
    assert_eq!(whole(frame(&[Some(most / 2), None]).select([twice])).unwrap().height(), 2);
}

#[test]
fn large_numbers_are_summed_exactly_or_not_at_all() {
    let most = 10_i128.pow(38) - 1;
    let sums = |numbers: [i128; 4]| {
        let numbers = numbers.map(Some);
        let group = Series::new("g".into(), [1_i64, 1, 2, 2]).into();
        let frame = DataFrame::new_infer_height(vec![decimals("a", &numbers, 0, 38), group]).unwrap().lazy();
        let sums = whole(frame.group_by([col("g")]).agg([col("a").sum()]).sort(["g"], Default::default()));
        sums.map(|sums| {
            sums.columns()[1].as_materialized_series().iter().map(|sum| sum.extract::<i128>().unwrap()).collect::<Vec<_>>()
        })
    };
    assert_eq!(sums([1, 2, 3, 4]).unwrap(), [3, 7]);
    let much = 10_i128.pow(37) * 9;
    assert_eq!(sums([much, 1, -much, 1]).unwrap(), [much + 1, 1 - much]);
    assert!(sums([1, 2, most, most]).is_err());
    assert!(sums([1, 2, -most, -most]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_polars_computes_is_what_is_computed(
        expression in expression(),
        numbers in prop::collection::vec(prop::option::weighted(0.8, -2_000_000_000_i64..2_000_000_000), 0..700),
    ) {
        let asked = frame(&numbers).lazy().select([expression.alias("x"), col("i")]);
        let Ok(expected) = asked.clone().collect() else { return Ok(()) };
        match whole(asked) {
            Ok(found) => prop_assert!(found.equals_missing(&expected), "{found} {expected}"),
            // What polars makes null of because it does not fit is an error.
            Err(error) => prop_assert!(expected.columns()[0].null_count() > 0, "{error}"),
        }
    }
}
