//! The points that were found, and how much of the space each method's cover.

use manytask_multitask::TaskEvaluation;
use manytask_multitask::pareto::{extent, hypervolume, non_dominated, spacing};
use serde::Serialize;

use super::variants::read;
use crate::report::{aligned, number};
use crate::study::{Finished, Lost, Member, Study};
use crate::whole_front::{self, JudgedAt, shows_each};

/// How far beyond the largest losses the reference point is where none is given, as a share of their range.
const BEYOND: f64 = 0.1;

/// The answer, as `results.json` has it.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    question: &'static str,
    /// The split that was judged.
    split: String,
    seed: u64,
    pub(super) tasks: Vec<String>,
    /// What is minimised: of each task its mean loss on the split.
    objective: &'static str,
    /// The losses below which the hypervolume is counted.
    reference: Vec<f64>,
    /// Where the reference is from.
    reference_is: &'static str,
    /// The methods in the order of the study, and all points together where there are several.
    pub(super) methods: Vec<MethodFront>,
    failed: Vec<(String, String)>,
}

/// The front of one method.
#[derive(Debug, Serialize)]
pub(super) struct MethodFront {
    pub(super) name: String,
    /// Exact.
    hypervolume: f64,
    /// Schott's, of the points that no other of the method is better than.
    spacing: Option<f64>,
    /// Of each task how far its losses are apart on the front.
    extent: Vec<f64>,
    pub(super) points: Vec<Point>,
}

/// A network at a preference.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    /// Its run in the folder `members`.
    run: String,
    preference: Vec<f64>,
    pub(super) losses: Vec<f64>,
    /// Each task's primary metric.
    metrics: Vec<Option<(String, Option<f64>)>>,
    #[serde(skip)]
    tasks: Vec<TaskEvaluation>,
    /// Whether no other point of the method is as good in all tasks and better in one.
    pub(super) on_front: bool,
}

impl Answer {
    /// Of all members that have a result with a loss of each task; `None` without any.
    pub(super) fn of(study: &Study, finished: &[(Member, Finished)], lost: &[Lost]) -> Option<Self> {
        let (first_member, first) = finished.first()?;
        let tasks: Vec<String> = first.results.tasks.iter().map(|task| task.name.clone()).collect();
        let mut methods: Vec<(String, Vec<Point>)> = Vec::new();
        for (member, finished) in finished {
            let (method, preference) = read(&member.variant);
            let judged = match preference {
                Some(preference) => vec![JudgedAt { preference, tasks: finished.results.tasks.clone() }],
                None => finished.results.front.clone(),
            };
            let points = judged.into_iter().filter_map(|judged| Point::of(&member.name, judged));
            match methods.iter_mut().find(|(name, _)| name == method) {
                Some((_, known)) => known.extend(points),
                None => methods.push((method.to_owned(), points.collect())),
            }
        }
        let all: Vec<Vec<f64>> =
            methods.iter().flat_map(|(_, points)| points).map(|point| point.losses.clone()).collect();
        let given = &study.spec.reference;
        let (reference, reference_is) = if given.is_empty() {
            (beyond(&all), "the largest loss of each task, and a tenth of the range of its losses more")
        } else {
            (given.clone(), "given")
        };
        Some(Self {
            question: "front",
            split: first.results.split.clone(),
            seed: first_member.seed,
            tasks,
            objective: "loss",
            methods: methods
                .into_iter()
                .map(|(name, points)| MethodFront::of(name, points, &reference))
                .collect(),
            reference,
            reference_is,
            failed: lost.iter().map(|lost| (lost.member.name.clone(), lost.why.clone())).collect(),
        })
    }

    /// A table of methods, and one of points.
    pub(super) fn text(&self) -> String {
        let few = shows_each(self.tasks.len());
        let mut head = ["method", "hypervolume", "on the front", "spacing"].map(str::to_owned).to_vec();
        if few {
            head.extend(self.tasks.iter().map(|task| format!("range of {task}")));
        }
        let first = self.methods.iter().flat_map(|method| &method.points).next();
        let point_head = first.map(|point| whole_front::head(&point.tasks)).unwrap_or_default();
        let mut rows = vec![head];
        let mut points = vec![row_of("method".to_owned(), point_head, "on the front")];
        for method in &self.methods {
            rows.push(method.row(few));
            points.extend(method.points.iter().map(|point| point.row(&method.name)));
        }
        format!("{} split, losses\n{}\n{}", self.split, aligned(&rows), aligned(&points))
    }

    /// What a reader of the numbers must know.
    pub(super) fn notes(&self) -> Vec<String> {
        let point: Vec<String> = self
            .tasks
            .iter()
            .zip(&self.reference)
            .map(|(task, loss)| format!("{task} {}", number(*loss)))
            .collect();
        let mut notes = vec![format!(
            "the hypervolume is counted below {}: {}; --reference takes another, by which studies can be compared",
            point.join(", "),
            self.reference_is
        )];
        let count = self.methods.iter().flat_map(|method| &method.points).count();
        let above = |point: &&Point| !point.losses.iter().zip(&self.reference).all(|(own, most)| own < most);
        let outside = self.methods.iter().flat_map(|method| &method.points).filter(above).count();
        if outside > 0 {
            notes.push(format!(
                "{outside} of {count} points have a loss that is not below the reference, and count nothing for the hypervolume"
            ));
        }
        if self.split == "validation" {
            notes.push(
                "the points are of the split by which parameters were chosen: give the data a test split"
                    .to_owned(),
            );
        }
        notes
    }
}

impl MethodFront {
    fn of(name: String, mut points: Vec<Point>, reference: &[f64]) -> Self {
        let losses: Vec<Vec<f64>> = points.iter().map(|point| point.losses.clone()).collect();
        for (point, on_front) in points.iter_mut().zip(non_dominated(&losses)) {
            point.on_front = on_front;
        }
        let front: Vec<Vec<f64>> =
            points.iter().filter(|point| point.on_front).map(|point| point.losses.clone()).collect();
        Self {
            name,
            hypervolume: hypervolume(&front, reference),
            spacing: spacing(&front),
            extent: extent(&front),
            points,
        }
    }

    fn row(&self, few: bool) -> Vec<String> {
        let on_front = self.points.iter().filter(|point| point.on_front).count();
        let mut row = vec![
            self.name.clone(),
            number(self.hypervolume),
            format!("{on_front} of {}", self.points.len()),
            self.spacing.map_or("-".to_owned(), number),
        ];
        if few {
            row.extend(self.extent.iter().map(|range| number(*range)));
        }
        row
    }
}

impl Point {
    /// Of a network whose tasks all have a loss.
    fn of(run: &str, judged: JudgedAt) -> Option<Self> {
        let JudgedAt { preference, tasks } = judged;
        let losses = tasks.iter().map(|task| task.loss).collect::<Option<Vec<f64>>>()?;
        let metrics = tasks.iter().map(|task| task.metrics.first().cloned()).collect();
        Some(Self { run: run.to_owned(), preference, losses, metrics, tasks, on_front: false })
    }

    fn row(&self, method: &str) -> Vec<String> {
        let cells = whole_front::cells(&self.preference, &self.tasks);
        row_of(method.to_owned(), cells, if self.on_front { "yes" } else { "no" })
    }
}

fn row_of(first: String, cells: Vec<String>, last: &str) -> Vec<String> {
    std::iter::once(first).chain(cells).chain([last.to_owned()]).collect()
}

/// A point that all others are below.
fn beyond(points: &[Vec<f64>]) -> Vec<f64> {
    let ranges = extent(points);
    let largest = |task: usize| {
        points.iter().filter_map(|point| point.get(task).copied()).fold(f64::NEG_INFINITY, f64::max)
    };
    let further = |(task, range): (usize, f64)| {
        let most = largest(task);
        most + if range > 0.0 { BEYOND * range } else { BEYOND * most.abs() }
    };
    ranges.into_iter().enumerate().map(further).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point([one, two]: [f64; 2]) -> Point {
        let task = |name: &str, loss, metrics| TaskEvaluation {
            name: name.into(),
            loss: Some(loss),
            metrics,
            higher_is_better: true,
        };
        let tasks = vec![task("a", one, vec![]), task("b", two, vec![("auc".into(), Some(0.5))])];
        Point::of("r", JudgedAt { preference: vec![0.5, 0.5], tasks }).unwrap()
    }

    #[test]
    fn the_reference_is_a_little_beyond_all_points() {
        let found = beyond(&[vec![1.0, 3.0], vec![2.0, 3.0]]);
        assert!((found[0] - 2.1).abs() < 1e-12 && (found[1] - 3.3).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn points_that_are_not_below_the_reference_are_told() {
        let answer = |reference: [f64; 2]| Answer {
            question: "front",
            split: "test".into(),
            seed: 1,
            tasks: vec!["a".into(), "b".into()],
            objective: "loss",
            methods: vec![MethodFront::of(
                "epo".into(),
                vec![point([1.0, 2.0]), point([2.0, 1.0])],
                &reference,
            )],
            reference: reference.to_vec(),
            reference_is: "given",
            failed: Vec::new(),
        };
        assert_eq!(answer([3.0, 3.0]).notes().len(), 1);
        assert!(answer([0.5, 0.5]).notes()[1].starts_with("2 of 2 points"));
        assert!(answer([1.5, 3.0]).notes()[1].starts_with("1 of 2 points"));
    }

    #[test]
    fn a_methods_numbers_are_of_the_points_on_its_front() {
        let points = vec![point([1.0, 3.0]), point([2.0, 1.0]), point([2.5, 2.5])];
        let front = MethodFront::of("epo".into(), points, &[4.0, 4.0]);
        assert_eq!(
            (front.hypervolume, front.spacing, front.extent.as_slice()),
            (7.0, Some(0.0), &[1.0, 2.0][..])
        );
        assert_eq!(front.points.iter().map(|point| point.on_front).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(front.row(true)[2], "2 of 3");
        assert_eq!(front.points[2].row("epo"), ["epo", "0.5:0.5", "2.500", "2.500", "-", "0.5000", "no"]);
    }
}
