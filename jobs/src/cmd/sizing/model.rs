//! How long the job takes on a worker that was not measured: Amdahl's law, fitted to the workers that were.
//!
//! ```text
//! wall(c) = serial / min(c, 1) + parallel / c
//! ```
//! `c` are the vCPUs. A worker below one vCPU is a whole core for a part of the time, so its serial work is slowed as well.

use serde::Serialize;

/// A measured point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// vCPUs.
    pub(super) vcpus: f64,
    /// Seconds.
    pub(super) wall_seconds: f64,
    /// The largest resident memory.
    pub(super) peak_bytes: u64,
}

/// The fitted law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Fit {
    /// Seconds of work that only one core can do.
    pub(super) serial_seconds: f64,
    /// Seconds of work on one core that any number of cores share.
    pub(super) parallel_seconds: f64,
    /// The part of the work that is parallel, 0 to 1.
    pub(super) parallel_fraction: f64,
    /// The largest deviation of a measured point from the law, as a part of the measured time. Zero of two points says
    /// nothing: two points always fit.
    pub(super) max_relative_error: f64,
    /// How many points it is fitted to.
    pub(super) points: usize,
    /// vCPUs of the largest measured worker.
    pub(super) largest_measured_vcpus: f64,
}

impl Fit {
    /// Fits the law by least squares of relative errors; `None` when the points cannot tell serial from parallel work: that
    /// takes one of more than one vCPU and another one.
    pub(super) fn of(points: &[Point]) -> Option<Fit> {
        let rows: Vec<(f64, f64)> = points.iter().map(|point| (1.0 / point.vcpus.min(1.0), 1.0 / point.vcpus)).collect();
        let rows: Vec<(f64, f64)> =
            rows.iter().zip(points).map(|((a, b), point)| (a / point.wall_seconds, b / point.wall_seconds)).collect();
        let sum = |term: &dyn Fn(&(f64, f64)) -> f64| rows.iter().map(term).sum::<f64>();
        let (aa, ab, bb) = (sum(&|row| row.0 * row.0), sum(&|row| row.0 * row.1), sum(&|row| row.1 * row.1));
        let (a, b) = (sum(&|row| row.0), sum(&|row| row.1));
        let determinant = aa * bb - ab * ab;
        if determinant.is_nan() || determinant <= 1e-9 * aa * bb {
            return None;
        }
        let (serial, parallel) = ((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant);
        // Neither kind of work can be less than none.
        let (serial, parallel) = match (serial < 0.0, parallel < 0.0) {
            (true, _) => (0.0, b / bb),
            (_, true) => (a / aa, 0.0),
            _ => (serial, parallel),
        };
        let mut fit = Fit {
            serial_seconds: serial,
            parallel_seconds: parallel,
            parallel_fraction: parallel / (serial + parallel),
            max_relative_error: 0.0,
            points: points.len(),
            largest_measured_vcpus: points.iter().map(|point| point.vcpus).fold(0.0, f64::max),
        };
        let deviation = |point: &Point| (fit.wall_seconds(point.vcpus) / point.wall_seconds - 1.0).abs();
        fit.max_relative_error = points.iter().map(deviation).fold(0.0, f64::max);
        Some(fit)
    }

    /// The modelled time on so many vCPUs.
    pub(super) fn wall_seconds(&self, vcpus: f64) -> f64 {
        self.serial_seconds / vcpus.min(1.0) + self.parallel_seconds / vcpus
    }
}

/// The memory on a worker of so many vCPUs: the largest peak of the measured ones, and for each further thread as much as
/// the measured ones took more for theirs.
pub(super) fn peak_bytes(points: &[Point], vcpus: f64) -> Option<u64> {
    let largest = points.iter().map(|point| point.peak_bytes).max()?;
    let peak_of = |wanted: f64| points.iter().filter(|point| threads(point.vcpus) == wanted).map(|point| point.peak_bytes).max();
    let counts = points.iter().map(|point| threads(point.vcpus));
    let (least, most) = counts.fold((f64::INFINITY, 0.0_f64), |(least, most), count| (least.min(count), most.max(count)));
    let growth = peak_of(most)?.saturating_sub(peak_of(least)?);
    if most <= least || threads(vcpus) <= most {
        return Some(largest);
    }
    let more = (threads(vcpus) - most) / (most - least);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "positive, far below 2^53"
    )]
    let more = (growth as f64 * more) as u64;
    Some(largest + more)
}

/// The threads the job starts: one for each whole vCPU, at least one.
fn threads(vcpus: f64) -> f64 {
    vcpus.floor().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: &[(f64, f64, u64)]) -> Vec<Point> {
        of.iter().map(|&(vcpus, wall_seconds, peak_bytes)| Point { vcpus, wall_seconds, peak_bytes }).collect()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    /// 2 s serial and 8 s parallel: 20 s on half a core, 10 s on one, 6 s on two, 4 s on four, 3 s on eight.
    #[test]
    fn a_law_is_found_again_in_its_own_times() {
        let fit = Fit::of(&points(&[(0.5, 20.0, 0), (1.0, 10.0, 0), (2.0, 6.0, 0)])).unwrap();
        assert!(near(fit.serial_seconds, 2.0) && near(fit.parallel_seconds, 8.0), "{fit:?}");
        assert!(near(fit.parallel_fraction, 0.8) && near(fit.max_relative_error, 0.0));
        assert!(near(fit.wall_seconds(4.0), 4.0) && near(fit.wall_seconds(8.0), 3.0) && near(fit.wall_seconds(0.25), 40.0));
        assert_eq!((fit.points, fit.largest_measured_vcpus), (3, 2.0));
    }

    #[test]
    fn the_error_of_the_fit_is_the_largest_deviation() {
        let fit = Fit::of(&points(&[(0.5, 22.0, 0), (1.0, 10.0, 0), (2.0, 6.0, 0)])).unwrap();
        assert!(fit.max_relative_error > 0.03 && fit.max_relative_error < 0.06, "{fit:?}");
    }

    #[test]
    fn workers_of_one_core_or_less_do_not_tell_serial_from_parallel() {
        for measured in [&[][..], &[(2.0, 6.0, 0)], &[(0.5, 20.0, 0), (1.0, 10.0, 0)], &[(2.0, 6.0, 0), (2.0, 6.1, 0)]] {
            assert_eq!(Fit::of(&points(measured)), None, "{measured:?}");
        }
    }

    #[test]
    fn no_kind_of_work_is_negative() {
        let faster_than_possible = Fit::of(&points(&[(1.0, 10.0, 0), (2.0, 4.0, 0)])).unwrap();
        assert_eq!(faster_than_possible.serial_seconds, 0.0);
        assert!(near(faster_than_possible.parallel_fraction, 1.0) && faster_than_possible.max_relative_error > 0.05);
        let slower_on_two = Fit::of(&points(&[(1.0, 10.0, 0), (2.0, 11.0, 0)])).unwrap();
        assert_eq!((slower_on_two.parallel_seconds, slower_on_two.parallel_fraction), (0.0, 0.0));
        assert!(slower_on_two.wall_seconds(16.0) > 10.0);
    }

    #[test]
    fn memory_grows_by_thread_as_it_did_when_measured() {
        let measured = points(&[(0.5, 1.0, 900), (1.0, 1.0, 1_000), (2.0, 1.0, 1_200)]);
        assert_eq!(peak_bytes(&measured, 2.0), Some(1_200));
        assert_eq!(peak_bytes(&measured, 8.0), Some(1_200 + 6 * 200));
        assert_eq!(peak_bytes(&points(&[(1.0, 1.0, 1_000)]), 8.0), Some(1_000));
        assert_eq!(peak_bytes(&points(&[(1.0, 1.0, 1_000), (2.0, 1.0, 800)]), 8.0), Some(1_000));
        assert_eq!(peak_bytes(&[], 8.0), None);
    }
}
