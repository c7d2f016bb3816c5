//! Panics of libraries as errors.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many guarded calls are running.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Calls a library and turns a panic inside of it into its message. The panic prints nothing.
///
/// # Errors
/// The message of the panic.
pub fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    quieten();
    RUNNING.fetch_add(1, Ordering::SeqCst);
    let answer = panic::catch_unwind(AssertUnwindSafe(call));
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    answer.map_err(|reason| {
        let text = reason.downcast_ref::<String>().map(String::as_str).or_else(|| reason.downcast_ref().copied());
        text.unwrap_or("a panic without a message").to_owned()
    })
}

/// Hides the messages of panics in libraries while a guarded call is running. They may happen in threads of the
/// library, so the thread cannot tell; the place in the source can, because paths of this workspace are relative.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let foreign = info.location().is_some_and(|place| Path::new(place.file()).is_absolute());
            if RUNNING.load(Ordering::SeqCst) == 0 || !foreign {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_message() {
        assert_eq!(guarded(|| 7), Ok(7));
        let empty: Vec<u8> = Vec::new();
        let index = empty.len();
        let told = guarded(|| empty[index]).expect_err("a panic");
        assert!(told.starts_with("index out of bounds"), "{told}");
        assert_eq!(guarded(|| panic::panic_any("no such type")), Err("no such type".to_owned()));
        assert_eq!(guarded(|| panic::panic_any(7)), Err("a panic without a message".to_owned()));
    }
}
