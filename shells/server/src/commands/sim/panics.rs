//! Panics inside a world: broken promises, told by their place and their words, and not printed.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// While it lives nothing is printed about a panic. A run that is shortened may panic a hundred
/// times on the way.
pub(super) struct Quiet(());

impl Quiet {
    pub(super) fn new() -> Self {
        set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            PLACE.with_borrow_mut(|last| *last = place);
        }));
        Self(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        drop(take_hook());
    }
}

/// Runs `work`; a panic in it is returned as a sentence.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // What a panic left half done is dropped with the world.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let place = PLACE.with_borrow_mut(Option::take);
        let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
        format!("panicked{place}: {}", words_of(panic.as_ref()))
    })
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_sentence_with_its_place() {
        let quiet = Quiet::new();
        let number = 7;
        let told = caught(|| assert!(number == 8, "{number} is not eight"));
        drop(quiet);
        let told = told.expect_err("it panicked");
        assert!(told.starts_with("panicked at ") && told.contains("panics.rs:"), "{told}");
        assert!(told.ends_with(": 7 is not eight"), "{told}");
        assert_eq!(caught(|| 5), Ok(5));
    }
}
