use super::TaskAffinity;

/// Tasks up to which every division is compared.
const EXACT: usize = 14;

/// Tasks divided among networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouping {
    /// The tasks of each network by number, each task in one.
    pub groups: Vec<Vec<usize>>,
    /// The sum over tasks of the mean affinity of the others of its network to it; 0 for a task alone.
    pub affinity: f64,
}

impl TaskAffinity {
    /// For each number of networks from 1 to `most` the division with the highest sum of affinities, as long as there are tasks for them: with up to 14
    /// tasks the best of all, found over subsets of tasks (3ᵏ comparisons for each number); with more, what joining two groups at a time leads to.
    pub fn groupings(&self, most: usize) -> Vec<Grouping> {
        let most = most.min(self.tasks.len());
        if self.tasks.len() <= EXACT { self.exact(most) } else { self.greedy(most) }
    }

    /// Whether [`TaskAffinity::groupings`] compares every division.
    pub fn is_exact(&self) -> bool {
        self.tasks.len() <= EXACT
    }

    /// The sum over the tasks of a group of the mean affinity of the others to each.
    fn score(&self, group: &[usize]) -> f64 {
        let to = |task: usize| {
            let others = group.iter().filter(|other| **other != task);
            let of = |other: &usize| self.matrix.get(*other)?.get(task).copied().flatten();
            let known: Vec<f64> = others.filter_map(of).collect();
            if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 }
        };
        group.iter().map(|task| to(*task)).sum()
    }

    fn exact(&self, most: usize) -> Vec<Grouping> {
        let count = self.tasks.len();
        let members = |set: usize| (0..count).filter(|task| set >> task & 1 == 1).collect::<Vec<_>>();
        let scores: Vec<f64> = (0..1 << count).map(|set| self.score(&members(set))).collect();
        let score = |set: usize| scores.get(set).copied().unwrap_or(f64::NEG_INFINITY);
        let all = (1_usize << count) - 1;
        // Of each set the best division into so many groups, and the group of its first task in there.
        let mut best: Vec<Vec<(f64, usize)>> = vec![(0..1 << count).map(|set| (score(set), set)).collect()];
        for number in 1..most {
            let divided = |set: usize| {
                let first = set & set.wrapping_neg();
                let rest = set ^ first;
                let mut found = (f64::NEG_INFINITY, 0);
                // Subsets of the others, whose complement is not empty.
                let mut part = rest;
                while part > 0 {
                    part = (part - 1) & rest;
                    let group = first | part;
                    let others = best.get(number - 1).and_then(|best| best.get(set ^ group));
                    let sum = score(group) + others.map_or(f64::NEG_INFINITY, |(sum, _)| *sum);
                    if sum > found.0 {
                        found = (sum, group);
                    }
                }
                found
            };
            let level = (0..1 << count).map(divided).collect();
            best.push(level);
        }
        let division = |number: usize| {
            let (mut set, mut groups) = (all, Vec::new());
            for level in best.iter().take(number + 1).rev() {
                let (_, group) = level.get(set).copied().unwrap_or_default();
                groups.push(members(group));
                set ^= group;
            }
            let affinity = groups.iter().map(|group| self.score(group)).sum();
            Grouping { groups, affinity }
        };
        (0..most).map(division).collect()
    }

    fn greedy(&self, most: usize) -> Vec<Grouping> {
        let mut groups: Vec<Vec<usize>> = (0..self.tasks.len()).map(|task| vec![task]).collect();
        let mut found = Vec::new();
        loop {
            if groups.len() <= most {
                let affinity = groups.iter().map(|group| self.score(group)).sum();
                found.push(Grouping { groups: groups.clone(), affinity });
            }
            let gain = |one: &Vec<usize>, other: &Vec<usize>| {
                let joined = [one.as_slice(), other].concat();
                self.score(&joined) - self.score(one) - self.score(other)
            };
            let pairs = groups.iter().enumerate().flat_map(|(place, one)| {
                let others = groups.iter().enumerate().skip(place + 1);
                others.map(move |(other, second)| (place, other, gain(one, second)))
            });
            let Some((one, other, _)) = pairs.max_by(|a, b| a.2.total_cmp(&b.2)) else { break };
            let joined = groups.swap_remove(other);
            if let Some(group) = groups.get_mut(one) {
                group.extend(joined);
                group.sort_unstable();
            }
            groups.sort();
        }
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affinity(matrix: &[&[f64]]) -> TaskAffinity {
        TaskAffinity {
            tasks: (0..matrix.len()).map(|task| format!("t{task}")).collect(),
            matrix: matrix.iter().map(|row| row.iter().map(|x| Some(*x)).collect()).collect(),
            looks: 1,
        }
    }

    #[test]
    fn friends_stay_together_and_foes_are_parted() {
        let of = affinity(&[&[1.0, 0.5, -0.4], &[0.3, 1.0, -0.2], &[-0.1, -0.3, 1.0]]);
        let found = of.groupings(5);
        let groups: Vec<_> = found.iter().map(|grouping| grouping.groups.clone()).collect();
        assert_eq!(groups, [vec![vec![0, 1, 2]], vec![vec![0, 1], vec![2]], vec![vec![0], vec![1], vec![2]]]);
        // Of all three: (0.3 − 0.1) / 2 + (0.5 − 0.3) / 2 + (−0.4 − 0.2) / 2.
        assert!((found[0].affinity + 0.1).abs() < 1e-12 && (found[1].affinity - 0.8).abs() < 1e-12);
        assert_eq!(found[2].affinity, 0.0);
    }

    /// All divisions of the tasks, by the group of each.
    fn divisions(count: usize) -> Vec<Vec<usize>> {
        (0..count).fold(vec![Vec::new()], |all, _| {
            let longer = |division: Vec<usize>| {
                let groups = division.iter().max().map_or(0, |most| most + 1);
                (0..=groups).map(move |group| [division.as_slice(), &[group]].concat())
            };
            all.into_iter().flat_map(longer).collect()
        })
    }

    #[test]
    fn no_division_is_better_than_the_one_that_is_found() {
        let numbers = |seed: u64| {
            let row =
                |i: u64| (0..6).map(|j| ((seed * 97 + i * 31 + j * 17) as f64 * 12.9898).sin()).collect();
            (0..6).map(row).collect::<Vec<Vec<f64>>>()
        };
        for seed in 0..5 {
            let numbers = numbers(seed);
            let of = affinity(&numbers.iter().map(Vec::as_slice).collect::<Vec<_>>());
            for (number, found) in of.groupings(6).iter().enumerate() {
                assert_eq!(found.groups.len(), number + 1);
                let best = divisions(6)
                    .iter()
                    .filter(|division| division.iter().max() == Some(&number))
                    .map(|division| {
                        let group =
                            |group| (0..6).filter(|task| division[*task] == group).collect::<Vec<_>>();
                        (0..=number).map(|of_group| of.score(&group(of_group))).sum::<f64>()
                    })
                    .fold(f64::NEG_INFINITY, f64::max);
                assert!((found.affinity - best).abs() < 1e-12, "{number}: {found:?} {best}");
            }
        }
    }

    #[test]
    fn many_tasks_are_joined_two_groups_at_a_time() {
        let count = 20;
        let row =
            |i: usize| (0..count).map(|j| if i % 4 == j % 4 { 0.1 } else { -0.1 }).collect::<Vec<f64>>();
        let rows: Vec<Vec<f64>> = (0..count).map(row).collect();
        let of = affinity(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert!(!of.is_exact());
        let found = of.groupings(6);
        assert_eq!(
            found.iter().map(|grouping| grouping.groups.len()).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6]
        );
        assert!(
            found[3].groups.iter().all(|group| group.iter().all(|task| task % 4 == group[0] % 4)),
            "{found:?}"
        );
        assert!((found[3].affinity - 2.0).abs() < 1e-9);
    }
}
