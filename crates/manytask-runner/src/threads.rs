//! How many threads a configuration means.

use crate::failure::{Code, Failure, Result};

/// The variable by which a user or a queue says how many threads a program may use.
const VARIABLE: &str = "OMP_NUM_THREADS";

/// The number where nothing is said: that of `OMP_NUM_THREADS`, or of the processors that this process may use.
pub(crate) fn usual() -> usize {
    usual_by(std::env::var(VARIABLE).ok().as_deref(), processors())
}

fn usual_by(variable: Option<&str>, processors: usize) -> usize {
    // A list has one number for each level of nesting.
    let first = variable.and_then(|list| list.split(',').next()?.trim().parse::<usize>().ok());
    first.filter(|threads| *threads > 0).map_or(processors, |threads| threads.min(most(processors)))
}

/// The processors that this process may use, by its affinity and its share of them.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Refuses no thread at all, and more than a machine has a use for.
///
/// # Errors
/// With the range (exit code 3).
pub(crate) fn check(threads: usize) -> Result<()> {
    let most = most(processors());
    match threads {
        0 => Err(Failure::new(Code::Config, "`threads` is 0; leave it out to use every core")),
        threads if threads > most => {
            let what = format!("`threads` is {threads}; this machine has {} processors", processors());
            Err(Failure::new(Code::Config, what).hint(format!("take {most} at most, or leave it out")))
        }
        _ => Ok(()),
    }
}

/// A configuration may come from a larger machine.
fn most(processors: usize) -> usize {
    processors.saturating_mul(64).min(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_before_the_processors() {
        for (variable, threads) in [
            (None, 4),
            (Some("1"), 1),
            (Some(" 2 "), 2),
            (Some("3,2"), 3),
            (Some("0"), 4),
            (Some("many"), 4),
            (Some(""), 4),
            (Some("999999999"), 256),
        ] {
            assert_eq!(usual_by(variable, 4), threads, "{variable:?}");
        }
    }

    #[test]
    fn numbers_beyond_use_are_refused() {
        assert!(check(1).is_ok() && check(processors()).is_ok());
        for threads in [0, 1025, usize::MAX] {
            assert_eq!(check(threads).unwrap_err().code, Code::Config, "{threads}");
        }
    }
}
