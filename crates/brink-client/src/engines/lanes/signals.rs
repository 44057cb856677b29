//! Which signals the lanes were given while they work. Must not wait.

use std::io;

use super::wait::Signal;
use crate::stage::Stage;

/// Signals that what is left to send brings about. Each is given once.
#[derive(Debug, Default)]
pub(super) struct Signals {
    free: bool,
    over: bool,
}

impl Signals {
    /// Gives those whose time has come. To be asked whenever the stage wakes its workers.
    ///
    /// # Errors
    /// Those of `call`.
    pub(super) fn give(&mut self, stage: &Stage, call: impl Fn(Signal) -> io::Result<()>) -> io::Result<()> {
        let is_spent = stage.is_spent();
        // Who waits for what is free is not to wait where there is nothing.
        if !self.free && (is_spent || stage.is_free()) {
            self.free = true;
            call(Signal::Free)?;
        }
        if !self.over && is_spent {
            self.over = true;
            call(Signal::Over)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn each_is_given_once_and_in_time() {
        let stage = Stage::new(1, Some(2));
        stage.keep_first_turns(2);
        let (mut signals, given) = (Signals::default(), RefCell::new(Vec::new()));
        let mut give = || {
            signals.give(&stage, |signal| {
                given.borrow_mut().push(signal);
                Ok(())
            })
        };
        give().unwrap();
        stage.pass_first_turns(2);
        give().unwrap();
        give().unwrap();
        assert_eq!(*given.borrow(), [Signal::Free]);
        stage.call_off();
        give().unwrap();
        give().unwrap();
        assert_eq!(*given.borrow(), [Signal::Free, Signal::Over]);
    }
}
