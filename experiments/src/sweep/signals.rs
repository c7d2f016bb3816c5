//! SIGINT and SIGTERM: stop at once, leave nothing half-written, print how to resume.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::files::folder::Folder;
use crate::terminal::exit::Exit;
use crate::terminal::say;

/// Held while a file is written. The thread that stops the process takes it first, so that no write is cut.
pub(crate) type WriteLock = Arc<Mutex<()>>;

/// From now on a SIGINT or SIGTERM ends the process: unfinished files go, `message` is printed to stderr, and the exit
/// code is 130 or 143. A computation that is under way is abandoned, because its cell is simply run again.
pub(crate) fn stop_cleanly(folder: Arc<Folder>, writing: WriteLock, message: String) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        // The first signal ends the process.
        let signal = signals.forever().next().unwrap_or(SIGTERM);
        // A panic during a write poisons the lock; the file it left is removed below all the same.
        let _guard = writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = folder.discard_unfinished() {
            say!("{error}");
        }
        say!("\n{message}");
        std::process::exit(i32::from(Exit::of_signal(signal).code()));
    })?;
    Ok(())
}
