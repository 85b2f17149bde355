//! The answer as a drawing: for each worker a bar of time and a bar of price. Modelled bars are pale and dashed.

use std::fmt::Write as _;

use super::Told;
use super::answer::{Row, State};
use super::prices::Offer;

const WIDTH: f64 = 860.0;
const ROW: f64 = 34.0;
const TOP: f64 = 78.0;
/// Where the bars of time and of price begin, and how long the longest is.
const TIME: f64 = 180.0;
const PRICE: f64 = 540.0;
const LONGEST: f64 = 230.0;

const BLUE: &str = "#2563a8";
const ORANGE: &str = "#c2571a";
const RED: &str = "#b3261e";

/// The drawing.
pub(super) fn draw(told: &Told<'_>) -> String {
    let sizing = told.sizing;
    let title = format!("{} {}: time and price of one window by worker", sizing.args.table.dataset, sizing.window);
    let deadline = sizing.args.deadline.map(|deadline| deadline.0.as_secs_f64());
    let best = told.answer.best.as_ref().map(|best| best.worker.as_str());
    picture(&title, &told.answer.rows, deadline, best, &sizing.prices.provenance())
}

fn picture(title: &str, rows: &[Row], deadline: Option<f64>, best: Option<&str>, foot: &str) -> String {
    let mut height = TOP;
    let mut body = String::new();
    let longest = |value: &dyn Fn(&Row) -> Option<f64>| rows.iter().filter_map(value).fold(0.0, f64::max);
    let (most_seconds, most_usd) = (longest(&|row| row.wall_seconds), longest(&usd));
    for row in rows {
        bars(&mut body, row, height, (most_seconds, most_usd), best == Some(row.worker.as_str()));
        height += ROW;
    }
    if let Some(x) = deadline.filter(|deadline| *deadline <= most_seconds).map(|deadline| TIME + length(deadline, most_seconds)) {
        let bottom = height - 8.0;
        let _ = writeln!(
            body,
            r#"<line x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{bottom:.1}" stroke="{RED}" stroke-dasharray="5 3"/>"#,
            TOP - 8.0
        );
        text(&mut body, x + 4.0, TOP - 10.0, RED, "deadline");
    }
    text(&mut body, 16.0, height + 16.0, "#555", foot);
    let mut head = String::new();
    let _ = writeln!(head, r##"<text x="16" y="26" font-size="15" font-weight="bold" fill="#111">{}</text>"##, escaped(title));
    text(&mut head, TIME, 54.0, BLUE, "wall time, seconds");
    text(&mut head, PRICE, 54.0, ORANGE, "USD for 1000 windows, Fargate x86");
    let height = height + 32.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{head}{body}</svg>\n"
    )
}

fn usd(row: &Row) -> Option<f64> {
    row.bill(Offer::FargateX86).map(|bill| bill.usd)
}

/// One worker: its name, its state, two bars.
fn bars(out: &mut String, row: &Row, y: f64, (most_seconds, most_usd): (f64, f64), is_best: bool) {
    let middle = y + 15.0;
    let name = if is_best { format!("{} ★", row.worker) } else { row.worker.clone() };
    let weight = if is_best { "bold" } else { "normal" };
    let _ = writeln!(
        out,
        r##"<text x="16" y="{middle:.1}" font-size="13" font-weight="{weight}" fill="#111">{}</text>"##,
        escaped(&name)
    );
    let state = row.state.as_str();
    text(out, 108.0, middle, "#555", state);
    if let Some(failure) = &row.failure {
        text(out, TIME, middle, RED, failure.kind);
    }
    let is_modelled = row.state == State::Modelled;
    if let Some(seconds) = row.wall_seconds {
        bar(out, (TIME, y), length(seconds, most_seconds), BLUE, is_modelled, &format!("{seconds:.1}"));
    }
    if let Some(usd) = usd(row) {
        bar(out, (PRICE, y), length(usd, most_usd), ORANGE, is_modelled, &format!("{:.3}", usd * 1_000.0));
    }
}

fn bar(out: &mut String, (x, y): (f64, f64), length: f64, colour: &str, is_modelled: bool, label: &str) {
    let look = if is_modelled { r#" fill-opacity="0.25" stroke-dasharray="4 2""# } else { "" };
    let _ =
        writeln!(out, r#"<rect x="{x}" y="{y:.1}" width="{length:.1}" height="20" fill="{colour}" stroke="{colour}"{look}/>"#);
    text(out, x + length + 6.0, y + 15.0, "#111", label);
}

fn length(value: f64, most: f64) -> f64 {
    if most > 0.0 { (value / most * LONGEST).max(1.0) } else { 1.0 }
}

fn text(out: &mut String, x: f64, y: f64, colour: &str, words: &str) {
    let _ = writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" fill="{colour}">{}</text>"#, escaped(words));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::{answer, killed, run};
    use super::*;

    #[test]
    fn every_worker_is_drawn_with_what_is_known_of_it() {
        let workers = [("1x1", vec![killed()]), ("1x2", vec![run(100.0, 7)]), ("2x4", vec![run(60.0, 7)]), ("4x8", vec![])];
        let answer = answer(&workers, Some(80));
        let drawn = picture("orders <x> & y", &answer.rows, Some(80.0), Some("2x4"), "list prices");
        insta::assert_snapshot!(drawn);
    }
}
