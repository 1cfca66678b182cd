//! SIGINT, SIGTERM and SIGHUP: the first lets the step end and saves, or ends the process where all is saved.
//!
//! Another one ends the process at once where it comes later than `PATIENCE`, so that somebody has waited in vain, or
//! where it is the third. A second one within that time is the same wish again: `timeout` and terminals send two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, iterator, low_level};

use crate::failure::{Code, Failure, Result};

/// How long a second signal is taken for the first.
const PATIENCE: Duration = Duration::from_secs(2);

/// As many signals end the process whenever they come.
const AT_ONCE: u32 = 3;

/// Whether the user wants an end.
#[derive(Debug, Clone)]
pub struct Signals {
    code: Arc<AtomicUsize>,
    saved: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on. A hang-up that was ignored when the process began, as by `nohup`, stays ignored.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> Result<Self> {
        let failed =
            |error: std::io::Error| Failure::new(Code::Data, format!("signals cannot be heard: {error}"));
        let code = Arc::new(AtomicUsize::new(0));
        let mut heard = vec![SIGINT, SIGTERM];
        if !is_ignored(SIGHUP) {
            heard.push(SIGHUP);
        }
        for signal in &heard {
            flag::register_usize(*signal, Arc::clone(&code), usize::from(code_of(*signal)))
                .map_err(failed)?;
        }
        let mut signals = iterator::Signals::new(&heard).map_err(failed)?;
        let saved = Arc::new(AtomicBool::new(false));
        let nothing_to_save = Arc::clone(&saved);
        // Where no thread is to be had the first signal still ends the training; there is no shorter way then.
        let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
            let mut heard = Heard::default();
            for signal in signals.forever() {
                if heard.another(Instant::now()) == Then::End || nothing_to_save.load(Ordering::Relaxed) {
                    low_level::exit(i32::from(code_of(signal)));
                }
            }
        });
        Ok(Self { code, saved })
    }

    /// From now on a signal ends the process at once: all that it has done is saved, and a run that goes on does the rest anew.
    pub fn all_is_saved(&self) {
        self.saved.store(true, Ordering::Relaxed);
    }

    /// The exit code of the signal that came.
    pub fn received(&self) -> Option<u8> {
        u8::try_from(self.code.load(Ordering::Relaxed)).ok().filter(|code| *code != 0)
    }
}

/// Lets the end of standard input be a wish to end, as a signal is: whoever started this process and holds the other end of a
/// pipe ends it by going away.
///
/// # Errors
/// When no thread is to be had.
pub fn end_with_stdin() -> Result<()> {
    let wait = || {
        // Whatever comes is nothing but life.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = low_level::raise(SIGTERM);
    };
    let thread = std::thread::Builder::new().name("supervision".into()).spawn(wait);
    thread.map(drop).map_err(|error| Failure::new(Code::Data, format!("no thread can be had: {error}")))
}

/// Lets a write beyond the limit on the size of files fail with an error, which names the file, where the system would end
/// the process.
///
/// # Errors
/// When the system does not allow it.
pub fn survive_file_limits() -> std::io::Result<()> {
    #[cfg(unix)]
    flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    Ok(())
}

/// The signals so far.
#[derive(Debug, Default)]
struct Heard {
    first: Option<Instant>,
    count: u32,
}

/// What comes of a signal.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    /// The step ends, and the state is saved.
    Save,
    /// The process ends at once.
    End,
}

impl Heard {
    fn another(&mut self, now: Instant) -> Then {
        self.count += 1;
        let since = now.saturating_duration_since(*self.first.get_or_insert(now));
        if self.count >= AT_ONCE || since >= PATIENCE { Then::End } else { Then::Save }
    }
}

/// The exit code of a process that a signal ended, as shells give it.
fn code_of(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Whether this process was started with the signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or_default() & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_signal_is_the_first_again_unless_somebody_has_waited() {
        let start = Instant::now();
        let after = |moments: &[u64]| -> Vec<Then> {
            let mut heard = Heard::default();
            moments.iter().map(|moment| heard.another(start + Duration::from_millis(*moment))).collect()
        };
        assert_eq!(after(&[0, 500]), [Then::Save, Then::Save]);
        assert_eq!(after(&[0, 2000]), [Then::Save, Then::End]);
        assert_eq!(after(&[0, 1, 2]), [Then::Save, Then::Save, Then::End]);
        assert_eq!([SIGHUP, SIGINT, SIGTERM].map(code_of), [129, 130, 143]);
    }
}
