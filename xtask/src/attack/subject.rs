//! The program under attack, run from outside with limits on time and memory.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The address space that a command may take, in KiB: 4 GiB.
const ADDRESS_SPACE: u64 = 4 << 20;
/// No core dumps, and files of at most so many blocks where a trial says so.
const LIMITS: &str = "ulimit -c 0; ulimit -f ${ATTACK_BLOCKS:-unlimited}";
/// How often a running command is looked at.
const TICK: Duration = Duration::from_millis(2);

/// The program under attack.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The program.
    pub(crate) binary: PathBuf,
    /// What a command may take.
    pub(crate) limit: Duration,
}

/// A command that was started.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    line: String,
    folder: PathBuf,
    start: Instant,
    limit: Duration,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// The command line.
    pub(crate) line: String,
    /// How it ended; nothing for one that hung.
    pub(crate) end: End,
    /// Standard output.
    pub(crate) out: Vec<u8>,
    /// Standard error.
    pub(crate) err: String,
    /// How long it took.
    pub(crate) took: Duration,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// It gave an exit code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It did not end in time.
    Hang,
}

impl Subject {
    /// Starts a command in a folder, with further variables of the environment.
    pub(crate) fn start(
        &self,
        folder: &Path,
        arguments: &[&str],
        variables: &BTreeMap<String, String>,
    ) -> Result<Running> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{LIMITS}; ulimit -v {ADDRESS_SPACE}; exec \"$0\" \"$@\"")]);
        command.arg(&self.binary).args(arguments).current_dir(folder).stdin(Stdio::null());
        for name in ["OMP_NUM_THREADS", "RUST_BACKTRACE", "LD_LIBRARY_PATH"] {
            command.env_remove(name);
        }
        command.env("NO_COLOR", "1").env("MANYTASK_TABLES", "off").envs(variables);
        let file = |name| fs_err::File::create(folder.join(name)).map(|file| file.into_parts().0);
        command.stdout(file("out.txt")?).stderr(file("err.txt")?);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?;
        let program = self.binary.file_name().unwrap_or_default().to_string_lossy();
        let line = format!("{program} {}", arguments.join(" "));
        Ok(Running { child, line, folder: folder.to_owned(), start: Instant::now(), limit: self.limit })
    }
}

impl Running {
    /// Sends a signal, unless the command has ended.
    pub(crate) fn signal(&mut self, name: &str) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            // It may end in between: then there is nobody to signal, which is as well.
            let _ = Command::new("kill")
                .arg(format!("-{name}"))
                .arg(self.child.id().to_string())
                .stderr(Stdio::null())
                .status()?;
        }
        Ok(())
    }

    /// Waits for some time or until the command has ended.
    pub(crate) fn wait_for(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time && self.child.try_wait()?.is_none() {
            std::thread::sleep(TICK.min(time));
        }
        Ok(())
    }

    /// Waits until the command has ended, or ends it when its time is up.
    pub(crate) fn finish(mut self) -> Result<Ended> {
        let end = loop {
            match self.child.try_wait()? {
                Some(status) => break End::of(status),
                None if self.start.elapsed() > self.limit => {
                    self.child.kill()?;
                    self.child.wait()?;
                    break End::Hang;
                }
                None => std::thread::sleep(TICK),
            }
        };
        let took = self.start.elapsed();
        let out = fs_err::read(self.folder.join("out.txt"))?;
        let err = String::from_utf8_lossy(&fs_err::read(self.folder.join("err.txt"))?).into_owned();
        Ok(Ended { line: self.line, end, out, err, took })
    }
}

impl End {
    fn of(status: ExitStatus) -> Self {
        status.code().map_or_else(|| Self::Signal(status.signal().unwrap_or_default()), Self::Code)
    }
}

impl Ended {
    /// Whether it ended with this exit code.
    pub(crate) fn is(&self, code: i32) -> bool {
        self.end == End::Code(code)
    }

    /// Fails unless the exit code is one of these, and in any case where the command hung or owned up to a mistake of its own.
    pub(crate) fn expect(&self, codes: &[i32]) -> Result<&Self> {
        let fault = if self.end == End::Hang {
            "did not end in time"
        } else if self.err.contains("panicked") {
            "panicked"
        } else if self.err.contains("this is a bug in manytask") {
            "calls it a bug"
        } else if matches!(self.end, End::Code(code) if codes.contains(&code)) {
            return Ok(self);
        } else {
            "ended otherwise than it may"
        };
        bail!("{fault}: {:?} of `{}`, allowed {codes:?}: {}", self.end, self.line, self.complaint())
    }

    /// The start of what it said last, or of its error.
    pub(crate) fn complaint(&self) -> String {
        let mut lines = self.err.lines().filter(|line| !line.trim().is_empty());
        let error = self.err.lines().find(|line| line.contains("error"));
        let line = error.or_else(|| lines.next_back()).unwrap_or("(nothing on stderr)");
        line.chars().take(300).collect()
    }

    /// The lines that tell something.
    pub(crate) fn notes(&self) -> Vec<&str> {
        self.err.lines().filter(|line| line.starts_with("note:")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(script: &str) -> Ended {
        let folder = tempfile::tempdir().unwrap();
        let subject = Subject { binary: "/bin/sh".into(), limit: Duration::from_millis(300) };
        subject.start(folder.path(), &["-c", script], &BTreeMap::new()).unwrap().finish().unwrap()
    }

    #[test]
    fn exits_signals_and_hangs_are_told_apart() {
        assert_eq!(ended("exit 3").end, End::Code(3));
        assert_eq!(ended("kill -KILL $$").end, End::Signal(9));
        assert_eq!(ended("while :; do :; done").end, End::Hang);
        let said = ended("echo note: one; echo note: two >&2; echo error: three >&2; exit 4");
        assert_eq!((said.out.as_slice(), said.notes()), (&b"note: one\n"[..], vec!["note: two"]));
        assert!(said.expect(&[0, 4]).is_ok() && said.complaint() == "error: three");
        assert!(said.expect(&[0, 3]).is_err());
        assert!(ended("echo thread panicked >&2").expect(&[0]).is_err());
        assert!(ended("echo this is a bug in manytask >&2; exit 0").expect(&[0]).is_err());
    }

    #[test]
    fn signals_arrive() {
        let folder = tempfile::tempdir().unwrap();
        let subject = Subject { binary: "/bin/sh".into(), limit: Duration::from_secs(5) };
        let mut running = subject.start(folder.path(), &["-c", "sleep 5"], &BTreeMap::new()).unwrap();
        running.signal("TERM").unwrap();
        assert_eq!(running.finish().unwrap().end, End::Signal(15));
    }
}
