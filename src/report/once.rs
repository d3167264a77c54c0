//! A listener who is told once what a run finds out again whenever it asks for the lists again.

use std::collections::HashSet;
use std::sync::Mutex;

use super::terminal::{Said, said};
use super::{Event, Listener};

/// Passes on what it hears to another listener, but a warning of the same words only once.
pub struct Once<L> {
    listener: L,
    told: Mutex<HashSet<Said>>,
}

impl<L> Once<L> {
    /// Before a run, for the listener that it has.
    pub fn new(listener: L) -> Once<L> {
        Once { listener, told: Mutex::default() }
    }
}

impl<L: Listener> Listener for Once<L> {
    fn hear(&self, event: &Event<'_>) {
        // A call that is made again, and what comes with it, is news each time.
        let comes_again = matches!(
            event,
            Event::Warning(_) | Event::BadRow { .. } | Event::Space(_) | Event::UnsafeLink { .. } | Event::Held(_)
        );
        let is_new = |said| self.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(said);
        let is_known = comes_again && said(event, 1).is_some_and(|said| !is_new(said));
        if !is_known {
            self.listener.hear(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(Mutex<usize>);

    impl Listener for Counter {
        fn hear(&self, _: &Event<'_>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    #[test]
    fn the_same_warning_is_passed_on_once_and_all_else_as_often_as_it_comes() {
        let once = Once::new(Counter(Mutex::default()));
        for text in ["a", "b", "a"] {
            once.hear(&Event::Warning(text));
        }
        assert_eq!(*once.listener.0.lock().unwrap(), 2);
        for _ in 0..2 {
            once.hear(&Event::AskAgain { entries: 1 });
        }
        assert_eq!(*once.listener.0.lock().unwrap(), 4);
    }
}
