//! The trend: for each target, how many cases passed and how many deviated in the reports so far, as a small plot.

use super::past::Summary;

/// The size of a plot, in pixels.
const WIDTH: usize = 260;
const HEIGHT: usize = 56;
/// The most reports that a plot shows.
const MOST: usize = 90;

/// What became of the cases of one target over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plot {
    /// The target.
    pub(super) target: String,
    /// How many passed, as the data of a path.
    pub(super) passed: String,
    /// The reports in which something was not as expected, as circles.
    pub(super) bad: Vec<(usize, usize)>,
    /// Where the last one is.
    pub(super) last: (usize, usize),
    /// The fewest and the most that passed.
    pub(super) range: (usize, usize),
    /// How many pass now.
    pub(super) now: usize,
    /// What it shows, for those who do not see it.
    pub(super) alternative: String,
}

/// The plots of all targets that have been seen twice.
pub(super) fn plots(past: &[Summary], now: &Summary) -> Vec<Plot> {
    let all: Vec<&Summary> = past.iter().chain([now]).collect();
    let shown = &all[all.len().saturating_sub(MOST)..];
    now.targets.iter().filter_map(|target| plot(&target.target, shown)).collect()
}

fn plot(target: &str, summaries: &[&Summary]) -> Option<Plot> {
    // A target is not in every report; its place in time is that of the report.
    let counts: Vec<(usize, crate::report::Counts)> = summaries
        .iter()
        .enumerate()
        .filter_map(|(place, summary)| {
            let of_target = summary.targets.iter().find(|other| other.target == target)?;
            Some((place, of_target.counts))
        })
        .collect();
    if counts.len() < 2 {
        return None;
    }
    let passed = || counts.iter().map(|(_, counts)| counts.passed);
    let (least, most) = (passed().min()?, passed().max()?);
    let place = |(place, counts): &(usize, crate::report::Counts)| {
        let x = 4 + place * (WIDTH - 8) / (summaries.len() - 1);
        let up = match most - least {
            0 => HEIGHT / 2,
            range => 6 + (counts.passed - least) * (HEIGHT - 12) / range,
        };
        (x, HEIGHT - up)
    };
    let points: Vec<(usize, usize)> = counts.iter().map(place).collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x} {y}")).collect();
    let is_bad =
        |counts: &crate::report::Counts| counts.failed + counts.broken + counts.unexpected_passes > 0;
    let bad: Vec<(usize, usize)> = points
        .iter()
        .zip(&counts)
        .filter(|(_, (_, counts))| is_bad(counts))
        .map(|(point, _)| *point)
        .collect();
    let (first, last) = (counts.first()?.1, counts.last()?.1);
    Some(Plot {
        target: target.to_owned(),
        passed: format!("M{}", path.join("L")),
        last: *points.last()?,
        range: (least, most),
        now: last.passed,
        alternative: format!(
            "{target}: {} cases passed {} reports ago, {} pass now; {} of these reports had deviations",
            first.passed,
            counts.len() - 1,
            last.passed,
            bad.len()
        ),
        bad,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Results;

    fn summaries(passed: &[(usize, usize)]) -> Vec<Summary> {
        let run = |(passed, failed): &(usize, usize)| {
            let mut results = super::super::super::tests::results(
                &["transaction/sync-call"],
                vec![crate::target::ReferenceTarget::new(reference_driver::Profile::C)],
            );
            results.runs[0].counts.passed = *passed;
            results.runs[0].counts.failed = *failed;
            Summary::of(&results)
        };
        passed.iter().map(run).collect()
    }

    #[test]
    fn a_plot_takes_two_reports() {
        let one = summaries(&[(1, 0)]);
        assert!(plots(&[], &one[0]).is_empty());
        assert!(plots(&[], &Summary::of(&Results::of(Vec::new()))).is_empty());
    }

    #[test]
    fn more_is_higher_and_deviations_are_marked() {
        let all = summaries(&[(100, 0), (98, 2), (104, 0)]);
        let [plot] = &plots(&all[..2], &all[2])[..] else { panic!() };
        assert_eq!((plot.range, plot.now, plot.bad.len()), ((98, 104), 104, 1));
        assert!(plot.last.1 < plot.bad[0].1, "{plot:?}");
        assert_eq!(plot.last.0, WIDTH - 4);
    }

    #[test]
    fn nothing_divides_by_nothing() {
        let all = summaries(&[(7, 0), (7, 0)]);
        assert_eq!(plots(&all[..1], &all[1])[0].range, (7, 7));
    }
}
