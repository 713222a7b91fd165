//! Signals that ask this process to end.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::CommandError;

/// A process that a signal ended has this and the signal's number for its status.
const ENDED_BY_SIGNAL: i32 = 128;

/// Whether the program handles the signals itself: see [`Asked`].
static IS_HEARD: AtomicBool = AtomicBool::new(false);

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// Read keys and certificates again: for a service.
    Reload,
    /// The terminal has gone: for a program of the terminal.
    End,
}

/// Makes signals end this process from here on, as they end any other.
///
/// The system throws away a signal of the first process of a container that has no handler for it:
/// without this, a SIGTERM that comes while the process starts would be lost, and so would any for
/// a command that has none.
pub(crate) fn end_the_first_process() -> Result<(), CommandError> {
    if std::process::id() != 1 {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let [mut terminate, mut interrupt] =
        [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    drop(entered);
    // A thread of its own: the others may be busy with a large database.
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            loop {
                let kind = tokio::select! {
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = interrupt.recv() => SignalKind::interrupt(),
                };
                if !IS_HEARD.load(Ordering::Relaxed) {
                    std::process::exit(ENDED_BY_SIGNAL.saturating_add(kind.as_raw_value()));
                }
            }
        });
    })?;
    Ok(())
}

/// Signals that ask for an orderly end.
pub(crate) struct Asked {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Asked {
    /// Starts to listen for them.
    pub(crate) fn listen() -> Result<Self, CommandError> {
        let asked = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: None,
        };
        IS_HEARD.store(true, Ordering::Relaxed);
        Ok(asked)
    }

    /// A hangup, which is listened for already, asks too.
    pub(crate) fn or(mut self, hangup: Signal) -> Self {
        self.hangup = Some(hangup);
        self
    }

    /// Waits until one comes.
    pub(crate) async fn heard(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }
}
