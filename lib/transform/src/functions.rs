//! The functions of the dialect: what polars' SQL knows, less what guesses or answers differently on every run.

/// What a function computes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One row.
    Row,
    /// A group of rows.
    Aggregate,
    /// The rows of a window.
    Window,
}

const ROW: &[&str] = &[
    "abs",
    "acos",
    "acosd",
    "asin",
    "asind",
    "atan",
    "atan2",
    "atan2d",
    "atand",
    "array_contains",
    "array_get",
    "array_length",
    "array_lower",
    "array_mean",
    "array_reverse",
    "array_sum",
    "array_to_string",
    "array_unique",
    "array_upper",
    "bit_and",
    "bit_length",
    "bit_not",
    "bit_or",
    "bit_xor",
    "cbrt",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosd",
    "cot",
    "cotd",
    "date",
    "date_part",
    "datetime",
    "degrees",
    "div",
    "ends_with",
    "exp",
    "floor",
    "greatest",
    "if",
    "ifnull",
    "least",
    "left",
    "length",
    "ln",
    "log10",
    "log1p",
    "log2",
    "lower",
    "lpad",
    "ltrim",
    "mod",
    "normalize",
    "nullif",
    "octet_length",
    "pi",
    "pow",
    "power",
    "radians",
    "regexp_like",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "sign",
    "sin",
    "sind",
    "split_part",
    "sqrt",
    "starts_with",
    "strftime",
    "string_to_array",
    "strptime",
    "substr",
    "tan",
    "tand",
    "time",
    "timestamp",
    "trunc",
    "truncate",
    "upper",
];

const AGGREGATE: &[&str] = &[
    "array_agg",
    "avg",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "first",
    "group_concat",
    "last",
    "listagg",
    "max",
    "median",
    "min",
    "quantile_cont",
    "quantile_disc",
    "stddev",
    "stddev_samp",
    "stdev",
    "stdev_samp",
    "string_agg",
    "sum",
    "total",
    "unnest",
    "var",
    "var_samp",
    "variance",
];

const WINDOW: &[&str] = &["dense_rank", "first_value", "lag", "last_value", "lead", "rank", "row_number"];

/// What to write instead of functions other dialects have.
const INSTEAD: &[(&str, &str)] = &[
    ("date_trunc", "for months write STRFTIME(x, '%Y-%m'), for days CAST(x AS DATE)"),
    ("current_date", "write {window} or {run_time}: a replay must see the same date"),
    ("current_timestamp", "write {run_time}: a replay must see the same time"),
    ("current_time", "write {run_time}: a replay must see the same time"),
    ("localtime", "write {run_time}: a replay must see the same time"),
    ("localtimestamp", "write {run_time}: a replay must see the same time"),
    ("now", "write {run_time}: a replay must see the same time"),
    ("today", "write {window}: a replay must see the same date"),
    ("random", "a replay must yield the same rows"),
    ("rand", "a replay must yield the same rows"),
    ("uuid", "a replay must yield the same rows"),
    ("percentile_cont", "write QUANTILE_CONT(x, 0.95)"),
    ("percentile_disc", "write QUANTILE_DISC(x, 0.95)"),
    ("approx_count_distinct", "write COUNT(DISTINCT x)"),
    ("count_if", "write COUNT(*) FILTER (WHERE …)"),
    ("countif", "write COUNT(*) FILTER (WHERE …)"),
    ("bool_and", "write MIN(CASE WHEN … THEN 1 ELSE 0 END) = 1"),
    ("every", "write MIN(CASE WHEN … THEN 1 ELSE 0 END) = 1"),
    ("bool_or", "write MAX(CASE WHEN … THEN 1 ELSE 0 END) = 1"),
    ("datediff", "subtract the dates: the difference is an INTERVAL"),
    ("date_diff", "subtract the dates: the difference is an INTERVAL"),
    ("make_date", "write DATE(year || '-' || month || '-' || day, '%Y-%m-%d')"),
    ("to_date", "write DATE(x, '%Y-%m-%d')"),
    ("to_timestamp", "write STRPTIME(x, '%Y-%m-%d %H:%M:%S')"),
    ("date_add", "write x + INTERVAL '1 day'"),
    ("date_sub", "write x - INTERVAL '1 day'"),
    ("dateadd", "write x + INTERVAL '1 day'"),
    ("nvl", "write COALESCE"),
    ("iff", "write CASE"),
    ("iif", "write CASE"),
    ("instr", "write x LIKE '%a%', or SPLIT_PART"),
    ("strpos", "it counts bytes: write x LIKE '%a%', or SPLIT_PART"),
    ("log", "its arguments are swapped: write LN(x) / LN(base), LOG2 or LOG10"),
    ("regexp_replace", "not supported"),
    ("regexp_extract", "not supported"),
    ("ntile", "not supported; row_number and rank are"),
    ("grouping", "write one SELECT a level and join them with UNION ALL"),
    ("columns", "name the columns"),
    ("try_cast", "write TRY_CAST(x AS type)"),
];

/// What a function computes from, `None` for one the dialect lacks.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    let has = |list: &[&str]| list.contains(&name);
    if has(ROW) {
        Some(Kind::Row)
    } else if has(AGGREGATE) {
        Some(Kind::Aggregate)
    } else if has(WINDOW) {
        Some(Kind::Window)
    } else {
        None
    }
}

/// What to write instead of a function the dialect lacks.
pub(crate) fn instead(name: &str) -> String {
    if let Some((_, advice)) = INSTEAD.iter().find(|(other, _)| *other == name) {
        return (*advice).to_owned();
    }
    let known = ROW.iter().chain(AGGREGATE).chain(WINDOW).copied();
    match windrow_core::suggest::nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "docs/sql.md lists the supported functions".to_owned(),
    }
}
