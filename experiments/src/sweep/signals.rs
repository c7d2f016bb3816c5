//! SIGINT and SIGTERM: stop at once, leave nothing half-written, say how to resume.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::files::folder::Folder;
use crate::terminal::exit::Exit;
use crate::terminal::say;

/// Held while a file is put in its place; the thread that stops the process takes it first, so that no write is cut.
pub(crate) type WriteLock = Arc<Mutex<()>>;

/// From now on a SIGINT or SIGTERM ends the process: unfinished files go, `farewell` is printed to stderr, and the exit
/// code is 130 or 143. A computation that is under way is abandoned, because its cell is simply run again.
pub(crate) fn stop_cleanly(folder: Arc<Folder>, writing: WriteLock, farewell: String) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        // The first one ends the process; before it there is nothing to do.
        let signal = signals.forever().next().unwrap_or(SIGTERM);
        // A panic during a write poisons the lock; the file it left is removed below all the same.
        let _guard = writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = folder.discard_unfinished() {
            say!("{error}");
        }
        say!("\n{farewell}");
        std::process::exit(i32::from(Exit::of_signal(signal).code()));
    })?;
    Ok(())
}
