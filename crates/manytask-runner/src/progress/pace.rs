//! How fast a training goes.

use std::time::{Duration, Instant};

use crate::report::number;

/// The steps and the time of a training since it was begun or resumed here.
#[derive(Debug)]
pub(super) struct Pace {
    /// The steps before.
    pub(super) start: u64,
    pub(super) total: u64,
    pub(super) started: Instant,
}

impl Pace {
    /// Steps, steps a second and the time to go.
    pub(super) fn text(&self, step: u64, now: Instant) -> String {
        let rate = self.rate(step, now);
        format!("step {step}/{}, {} steps/s, {} to go", self.total, number(rate), self.left(step, rate))
    }

    /// Steps and the time to go.
    pub(super) fn short(&self, step: u64, now: Instant) -> String {
        format!("{step}/{}, {} to go", self.total, self.left(step, self.rate(step, now)))
    }

    /// The share of the training that is over.
    pub(super) fn share(&self, step: u64) -> f64 {
        (step as f64 / self.total.max(1) as f64).min(1.0)
    }

    fn rate(&self, step: u64, now: Instant) -> f64 {
        step.saturating_sub(self.start) as f64 / (now - self.started).as_secs_f64().max(1e-9)
    }

    fn left(&self, step: u64, rate: f64) -> String {
        let left = self.total.saturating_sub(step) as f64 / rate.max(1e-9);
        clock(Duration::try_from_secs_f64(left.round()).unwrap_or(Duration::MAX))
    }
}

/// Hours, minutes and seconds, with days before them where there are any.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = if days > 0 { format!("{days}d ") } else { String::new() };
    format!("{days}{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_steps_made_here() {
        let started = Instant::now();
        let pace = Pace { start: 1000, total: 2000, started };
        let later = started + Duration::from_secs(10);
        assert_eq!(pace.text(1100, later), "step 1100/2000, 10.00 steps/s, 00:01:30 to go");
        assert_eq!(pace.short(1100, later), "1100/2000, 00:01:30 to go");
        assert!(pace.text(1000, later).starts_with("step 1000/2000, 0.000 steps/s"));
        assert!(pace.text(2000, started).ends_with("00:00:00 to go"));
        assert_eq!(clock(Duration::from_secs(100_000)), "1d 03:46:40");
        assert_eq!(pace.share(1500), 0.75);
    }
}
