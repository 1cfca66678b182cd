//! A step or an evaluation that takes long, of which nothing would be heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::report::say;

/// What takes so long is told.
const LONG: Duration = Duration::from_secs(20);

/// Waits beside a training for what happens in it.
#[derive(Debug)]
pub(super) struct Silence {
    /// How much has happened.
    heard: Arc<AtomicU64>,
    /// Whether it was told since that was asked last.
    told: Arc<AtomicBool>,
    /// Closed with this, which ends the thread.
    _watched: Sender<()>,
}

impl Silence {
    /// Says once what a step works on, where nothing happens for long. `None` where no thread can be had: it is not said then.
    pub(super) fn watch(work: &str) -> Option<Self> {
        let seconds = LONG.as_secs();
        let text = format!("note: for {seconds} seconds no step and no evaluation has ended; {work}");
        Self::watch_for(LONG, text, say)
    }

    /// Something has happened.
    pub(super) fn end(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether something was said since the last call.
    pub(super) fn has_told(&self) -> bool {
        self.told.load(Ordering::Relaxed) && self.told.swap(false, Ordering::Relaxed)
    }

    fn watch_for(long: Duration, text: String, say: impl FnOnce(&str) + Send + 'static) -> Option<Self> {
        let (watched, ended) = channel();
        let heard = Arc::new(AtomicU64::new(0));
        let told = Arc::new(AtomicBool::new(false));
        let (count, said) = (Arc::clone(&heard), Arc::clone(&told));
        let wait = move || {
            let mut before = 0;
            while ended.recv_timeout(long) == Err(RecvTimeoutError::Timeout) {
                let now = count.load(Ordering::Relaxed);
                if now == before {
                    say(&text);
                    return said.store(true, Ordering::Relaxed);
                }
                before = now;
            }
        };
        thread::Builder::new().name("silence".to_owned()).spawn(wait).ok()?;
        Some(Self { heard, told, _watched: watched })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_told() {
        let told = |long: Duration, during: &dyn Fn(&Silence)| {
            let (sender, receiver) = channel();
            let silence = Silence::watch_for(long, "a step works on 9 tasks".to_owned(), move |text| {
                drop(sender.send(text.to_owned()));
            });
            during(silence.as_ref().unwrap());
            drop(silence);
            receiver.recv().ok()
        };
        let asleep = |_: &Silence| thread::sleep(Duration::from_millis(200));
        assert!(told(Duration::from_millis(1), &asleep).unwrap().contains("9 tasks"));
        assert_eq!(told(Duration::from_secs(100), &|_| {}), None);
        let busy = |silence: &Silence| {
            for _ in 0..40 {
                silence.end();
                thread::sleep(Duration::from_millis(5));
            }
        };
        assert_eq!(told(Duration::from_millis(150), &busy), None);
    }
}
