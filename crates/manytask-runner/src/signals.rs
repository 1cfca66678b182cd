//! SIGINT and SIGTERM: the first lets the step end and saves, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{Code, Failure, Result};

/// Whether the user wants an end.
#[derive(Debug, Clone)]
pub struct Signals {
    code: Arc<AtomicUsize>,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> Result<Self> {
        let code = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(AtomicBool::new(false));
        for (signal, exit) in [(SIGINT, 130_u8), (SIGTERM, 143)] {
            let failed =
                |error: std::io::Error| Failure::new(Code::Bug, format!("signals cannot be heard: {error}"));
            // In this order: the first signal sees `asked` unset, the second ends the process.
            flag::register_conditional_shutdown(signal, i32::from(exit), Arc::clone(&asked))
                .map_err(failed)?;
            flag::register_usize(signal, Arc::clone(&code), usize::from(exit)).map_err(failed)?;
            flag::register(signal, Arc::clone(&asked)).map_err(failed)?;
        }
        Ok(Self { code })
    }

    /// The exit code of the signal that came.
    pub fn received(&self) -> Option<u8> {
        u8::try_from(self.code.load(Ordering::Relaxed)).ok().filter(|code| *code != 0)
    }
}
