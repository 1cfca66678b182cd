//! How sure differences are: intervals, ranks, and tests between several methods.

/// The mean of some numbers, and half the width of its 95 % interval by Student's t.
pub(super) fn interval(values: &[f64]) -> (f64, Option<f64>) {
    widened(values, 0.0)
}

/// The same where `values` are of folds, each of which tests on `share` times as many rows as it trains on: training rows are shared, and the
/// variance of the mean is larger by that (Nadeau & Bengio 2003).
pub(super) fn widened(values: &[f64], share: f64) -> (f64, Option<f64>) {
    const T: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let Some(t) = values.len().checked_sub(2).map(|free| T.get(free).copied().unwrap_or(1.96)) else {
        return (mean, None);
    };
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, Some(t * (variance * (1.0 / count + share)).sqrt()))
}

/// The mean rank of each method over blocks, 1 for the best, equal values share their ranks. `blocks` has a value of each method, less is better.
pub(super) fn mean_ranks(blocks: &[Vec<f64>]) -> Vec<f64> {
    let methods = blocks.first().map_or(0, Vec::len);
    let mut sums = vec![0.0; methods];
    for block in blocks {
        for (sum, rank) in sums.iter_mut().zip(ranks(block)) {
            *sum += rank / blocks.len() as f64;
        }
    }
    sums
}

/// How far mean ranks of so many methods over so many blocks must be apart at 5 % (Nemenyi's test; Demšar 2006, equation for CD); absent for
/// more than twenty methods.
pub(super) fn critical_difference(methods: usize, blocks: usize) -> Option<f64> {
    // Quantiles of the studentized range, divided by √2, for 2 methods on.
    const Q: [f64; 19] = [
        1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164, 3.219, 3.268, 3.313, 3.354, 3.391,
        3.426, 3.458, 3.489, 3.517, 3.544,
    ];
    let q = Q.get(methods.checked_sub(2)?)?;
    let count = methods as f64;
    Some(q * (count * (count + 1.0) / (6.0 * blocks as f64)).sqrt())
}

/// The two-sided p of Wilcoxon's signed-rank test, exact given the ranks; differences of zero are left out.
pub(super) fn wilcoxon(differences: &[f64]) -> f64 {
    let differences: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    // Twice the ranks are whole numbers, also where ranks are shared.
    let doubled: Vec<usize> = ranks(&sizes).into_iter().map(|rank| (2.0 * rank).round() as usize).collect();
    let positive = differences.iter().zip(&doubled).filter(|(difference, _)| **difference > 0.0);
    let found: usize = positive.map(|(_, rank)| rank).sum();
    let whole: usize = doubled.iter().sum();
    // Each sign is as likely: the chance of each sum of positive ranks.
    let mut chances = vec![0.0; whole + 1];
    chances[0] = 1.0;
    for rank in doubled {
        for sum in (0..=whole).rev() {
            let with = sum.checked_sub(rank).map_or(0.0, |without| chances[without]);
            chances[sum] = f64::midpoint(chances[sum], with);
        }
    }
    let tail: f64 = chances.iter().take(found.min(whole - found) + 1).sum();
    (2.0 * tail).min(1.0)
}

/// Probabilities of several tests corrected so that the chance of any false difference stays what it is (Holm 1979).
pub(super) fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
    let mut corrected = vec![0.0; probabilities.len()];
    let mut least = 0.0_f64;
    for (place, of) in order.into_iter().enumerate() {
        least = least.max((probabilities[of] * (probabilities.len() - place) as f64).min(1.0));
        corrected[of] = least;
    }
    corrected
}

/// Ranks from 1 for the smallest, equal values share theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let of = |value: f64| {
        let below = values.iter().filter(|other| **other < value).count() as f64;
        let equal = values.iter().filter(|other| **other == value).count() as f64;
        below + f64::midpoint(equal, 1.0)
    };
    values.iter().map(|value| of(*value)).collect()
}

/// What ranks and tests say of methods, as a sentence in Markdown: `names` with a value for each block, less is better; the first method is the
/// one that others are compared with.
pub(super) fn sentence(names: &[String], blocks: &[Vec<f64>], of_what: &str) -> String {
    let against: Vec<f64> = (1..names.len())
        .map(|method| wilcoxon(&blocks.iter().map(|block| block[method] - block[0]).collect::<Vec<_>>()))
        .collect();
    let corrected = holm(&against);
    let ranks = mean_ranks(blocks);
    let differ: Vec<String> = names
        .iter()
        .skip(1)
        .zip(corrected)
        .zip(ranks.iter().skip(1))
        .filter(|((_, p), _)| *p < 0.05)
        .map(|((name, p), rank)| {
            let how = if *rank < ranks[0] { "better" } else { "worse" };
            format!(
                "{name} ({how}, p {})",
                if p < 0.001 { "< 0.001".to_owned() } else { format!("= {p:.3}") }
            )
        })
        .collect();
    let critical = critical_difference(names.len(), blocks.len()).map_or_else(String::new, |difference| {
        format!("Mean ranks that are less than {difference:.2} apart do not differ surely (Nemenyi's test, 5 %; Demšar 2006). ")
    });
    let differ = if differ.is_empty() { "none".to_owned() } else { differ.join(", ") };
    format!(
        "Ranks are over {} {of_what}, 1 for the best. {critical}Different from {} by Wilcoxon's signed-rank test over the same, corrected by Holm: {differ}.",
        blocks.len(),
        names[0]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_interval_of_students_t() {
        assert_eq!(interval(&[0.5]), (0.5, None));
        let (mean, half) = interval(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((mean - 3.0).abs() < 1e-12);
        // The deviation is √2.5.
        assert!((half.unwrap() - 2.776 * (2.5_f64 / 5.0).sqrt()).abs() < 1e-12);
        let wide = widened(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25).1.unwrap();
        assert!((wide - 2.776 * (2.5_f64 * 0.45).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_critical_difference_is_demsars() {
        // His example: four methods on fourteen data sets, 1.25.
        assert!((critical_difference(4, 14).unwrap() - 1.25).abs() < 0.005);
        assert_eq!(critical_difference(1, 14), None);
        assert_eq!(critical_difference(30, 14), None);
    }

    #[test]
    fn ranks_are_shared_by_equal_values() {
        assert_eq!(mean_ranks(&[vec![0.1, 0.3, 0.2], vec![0.5, 0.5, 0.1]]), [1.75, 2.75, 1.5]);
    }

    #[test]
    fn wilcoxons_test_is_that_of_tables() {
        // All of five in one direction: 2/32.
        assert!((wilcoxon(&[1.0, 2.0, 3.0, 4.0, 5.0]) - 0.0625).abs() < 1e-12);
        // Seven of the 256 choices of signs have a rank sum of at most 4; scipy.stats.wilcoxon says the same.
        assert!((wilcoxon(&[1.1, 2.2, 3.3, -4.4, 5.5, 6.6, 7.7, 8.8]) - 0.054_687_5).abs() < 1e-12);
        assert!((wilcoxon(&[1.0, -1.0, 0.0]) - 1.0).abs() < 1e-12);
        assert!((wilcoxon(&[]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn holms_correction_never_falls() {
        let corrected = holm(&[0.01, 0.04, 0.03]);
        for (found, wanted) in corrected.iter().zip([0.03, 0.06, 0.06]) {
            assert!((found - wanted).abs() < 1e-12, "{corrected:?}");
        }
    }

    #[test]
    fn a_sentence_names_what_differs() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let blocks: Vec<Vec<f64>> =
            (0..12).map(|i| vec![0.0, 1.0 + f64::from(i), f64::from(i % 2) - 0.5]).collect();
        let said = sentence(&names, &blocks, "tasks");
        assert!(
            said.contains("12 tasks") && said.contains("b (worse, p < 0.001)") && !said.contains("c ("),
            "{said}"
        );
    }
}
