//! Methods on problems of two objectives whose fronts are known, as tables in Markdown: `cargo run -p manytask-multitask --example fronts`.
#![expect(clippy::print_stdout, reason = "it prints tables")]
#![expect(clippy::suspicious_arithmetic_impl, reason = "the derivative of a product is a sum")]

use std::array::from_fn;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{Add, Mul, Sub};

use manytask_multitask::aggregators::{
    AggregatorSettings, AlignedMtl, CaGrad, Epo, EqualWeights, Famo, FixedWeights, ImtlG, Mgda, NashMtl, Pbi,
    PcGrad, Preference, Stch, Tchebycheff, UpGrad,
};
use manytask_multitask::pareto::{hypervolume, preferences};
use manytask_multitask::{Aggregator, GivenBatch, GivenStep, Result, TaskVec};

fn main() -> Result<()> {
    hypervolumes()?;
    println!();
    toy()
}

/// A number with its derivatives by the two parameters.
#[derive(Debug, Clone, Copy)]
struct Dual {
    value: f64,
    by: [f64; 2],
}

impl Dual {
    fn constant(value: f64) -> Self {
        Self { value, by: [0.0; 2] }
    }

    /// The parameters.
    fn parameters(x: [f64; 2]) -> [Self; 2] {
        from_fn(|place| Self { value: x[place], by: from_fn(|of| f64::from(u8::from(of == place))) })
    }

    /// A function of it with this value and derivative.
    fn chained(self, value: f64, slope: f64) -> Self {
        Self { value, by: self.by.map(|by| by * slope) }
    }

    fn times(self, factor: f64) -> Self {
        self.chained(self.value * factor, factor)
    }

    fn plus(self, other: f64) -> Self {
        Self { value: self.value + other, ..self }
    }

    fn exp(self) -> Self {
        self.chained(self.value.exp(), self.value.exp())
    }

    fn ln(self) -> Self {
        self.chained(self.value.ln(), self.value.recip())
    }

    fn tanh(self) -> Self {
        self.chained(self.value.tanh(), 1.0 - self.value.tanh().powi(2))
    }

    fn abs(self) -> Self {
        self.chained(self.value.abs(), self.value.signum())
    }

    /// Not below a number; where it is that number it has half its slope.
    fn at_least(self, least: f64) -> Self {
        match self.value.partial_cmp(&least) {
            Some(Ordering::Greater) => self,
            Some(Ordering::Equal) => self.chained(least, 0.5),
            _ => Self::constant(least),
        }
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, by: from_fn(|of| self.by[of] + other.by[of]) }
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + other.times(-1.0)
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let by = from_fn(|of| self.by[of] * other.value + self.value * other.by[of]);
        Self { value: self.value * other.value, by }
    }
}

type Objectives = fn([Dual; 2]) -> [Dual; 2];

fn names() -> Vec<String> {
    vec!["first".to_owned(), "second".to_owned()]
}

/// How parameters follow a direction.
#[derive(Debug, Clone, Copy)]
enum Descent {
    Plain(f64),
    Adam(f64),
}

/// Where a method ends after so many steps.
fn end(
    objectives: Objectives,
    aggregator: &mut dyn Aggregator,
    start: [f64; 2],
    descent: Descent,
    steps: u64,
) -> Result<[f64; 2]> {
    let (mut x, mut first, mut second) = (start, [0.0; 2], [0.0; 2]);
    let at = |x| objectives(Dual::parameters(x));
    for number in 0..steps {
        let both = at(x);
        let batch = GivenBatch::new(both.map(|one| one.value), &both.map(|one| one.by.to_vec()))?;
        let mut step = GivenStep::new(batch, aggregator.needs());
        step.number = number;
        let combination = aggregator.combine(&mut step)?;
        let direction = step.direction(&combination)?;
        for (place, slope) in direction.into_iter().enumerate().take(2) {
            x[place] -= match descent {
                Descent::Plain(rate) => rate * slope,
                Descent::Adam(rate) => {
                    let count = number as f64 + 1.0;
                    first[place] = 0.9 * first[place] + 0.1 * slope;
                    second[place] = 0.999 * second[place] + 0.001 * slope * slope;
                    let root = (second[place] / (1.0 - 0.999_f64.powf(count))).sqrt() + 1e-8;
                    rate * first[place] / (1.0 - 0.9_f64.powf(count)) / root
                }
            };
        }
        if aggregator.needs().losses_after_step {
            aggregator.after_step(&at(x).iter().map(|one| one.value).collect::<TaskVec>())?;
        }
    }
    Ok(x)
}

/// VLMOP2 (Van Veldhuizen & Lamont 1999) in the plane, which libmoon calls VLMOP1.
fn vlmop2(x: [Dual; 2]) -> [Dual; 2] {
    [1.0, -1.0].map(|sign: f64| {
        let distances = x.map(|x| x.plus(-sign * std::f64::consts::FRAC_1_SQRT_2));
        let kept = (distances[0] * distances[0] + distances[1] * distances[1]).times(-1.0).exp();
        Dual::constant(1.0) - kept
    })
}

fn hypervolumes() -> Result<()> {
    const POINTS: usize = 8;
    type Build = fn(Preference) -> Box<dyn AggregatorSettings>;
    let methods: [(&str, Build); 6] = [
        ("`epo`", |preference| Box::new(Epo { preference, ..Epo::default() })),
        ("`tchebycheff`", |preference| Box::new(Tchebycheff { preference, ..Tchebycheff::default() })),
        ("`stch`, mu = 0.1", |preference| Box::new(Stch { mu: 0.1, preference, ..Stch::default() })),
        ("`pbi`", |preference| Box::new(Pbi { preference, ..Pbi::default() })),
        ("`mgda`", |_| Box::new(Mgda::default())),
        ("weighted sums", |preference| Box::new(FixedWeights { weights: preference.weights })),
    ];
    println!("| method | hypervolume | of the whole front |\n|---|---|---|");
    let value = |x: [f64; 2]| vlmop2(Dual::parameters(x)).map(|one| one.value).to_vec();
    let dense =
        (0..=20_000).map(|i| value([(f64::from(i) / 1e4 - 1.0) * std::f64::consts::FRAC_1_SQRT_2; 2]));
    let whole = hypervolume(&dense.collect::<Vec<_>>(), &[1.0, 1.0]);
    for (name, build) in methods {
        let mut points = Vec::with_capacity(POINTS);
        for preference in preferences(2, POINTS) {
            let weights: BTreeMap<String, f64> = names().into_iter().zip(preference).collect();
            let settings = build(Preference { weights, ..Preference::default() });
            let mut method = settings.build(&names())?;
            points.push(value(end(vlmop2, method.as_mut(), [0.3, -0.5], Descent::Plain(0.01), 20_000)?));
        }
        let found = hypervolume(&points, &[1.0, 1.0]);
        println!("| {name} | {found:.3} | {:.0} % |", 100.0 * found / whole);
    }
    Ok(())
}

/// The two objectives of Liu et al. 2021 (`CAGrad`), figure 1.
fn two_valleys([x1, x2]: [Dual; 2]) -> [Dual; 2] {
    let logarithm = |distance: Dual| distance.abs().at_least(5e-6).ln().plus(6.0);
    let f1 = logarithm(x1.times(-0.5).plus(-3.5) - x2.times(-1.0).tanh());
    let f2 = logarithm(x1.times(-0.5).plus(1.5) + x2.times(-1.0).tanh().plus(2.0));
    let c1 = x2.times(0.5).tanh().at_least(0.0);
    let c2 = x2.times(-0.5).tanh().at_least(0.0);
    let bowl = |to: f64| {
        let (a, b) = (x1.times(-1.0).plus(to), x2.times(-1.0).plus(-8.0));
        (a * a + (b * b).times(0.1)).times(0.1).plus(-20.0)
    };
    [(f1 * c1 + bowl(7.0) * c2).times(0.1), f2 * c1 + bowl(-7.0) * c2]
}

fn toy() -> Result<()> {
    const STARTS: [[f64; 2]; 5] = [[-8.5, 7.5], [0.0, 0.0], [9.0, 9.0], [-7.5, -0.5], [9.0, -1.0]];
    let least: BTreeMap<String, f64> = names().into_iter().zip([-2.1, -21.0]).collect();
    let methods: [(&str, Box<dyn AggregatorSettings>); 9] = [
        ("`equal_weights`", Box::new(EqualWeights::default())),
        ("`pcgrad`", Box::new(PcGrad::default())),
        ("`upgrad`", Box::new(UpGrad::default())),
        ("`cagrad`", Box::new(CaGrad::default())),
        ("`aligned_mtl`", Box::new(AlignedMtl::default())),
        ("`mgda`", Box::new(Mgda::default())),
        ("`imtl_g`", Box::new(ImtlG::default())),
        ("`nash_mtl`", Box::new(NashMtl::default())),
        ("`famo`, least losses given", Box::new(Famo { least, weight_decay: 0.0, ..Famo::default() })),
    ];
    let starts: Vec<String> = STARTS.iter().map(|[a, b]| format!("({a}, {b})")).collect();
    println!("| method | {} | on the front |\n|---|{}", starts.join(" | "), "---|".repeat(STARTS.len() + 1));
    for (name, settings) in methods {
        let (mut cells, mut reached) = (Vec::with_capacity(STARTS.len()), 0);
        for start in STARTS {
            let mut method = settings.build(&names())?;
            let x = end(two_valleys, method.as_mut(), start, Descent::Adam(1e-3), 50_000)?;
            let is_there = (x[1] + 8.4).abs() < 0.15 && x[0].abs() < 7.1;
            reached += usize::from(is_there);
            cells.push(if is_there { format!("{:.2}", x[0]) } else { format!("({:.2}, {:.2})", x[0], x[1]) });
        }
        println!("| {name} | {} | {reached} of {} |", cells.join(" | "), STARTS.len());
    }
    Ok(())
}
