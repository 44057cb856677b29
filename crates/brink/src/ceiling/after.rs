//! How the target is once all connections are closed: does it live, has it let go of them, does it serve? Must not
//! judge it.

use std::time::{Duration, Instant};

use brink_client::{LoadOptions, Stop};
use brink_host::usage::{self, ProcessState};
use brink_results::schema::After;
use brink_wire::value::format_count;

use crate::run::witness::Witness;
use crate::run::{Prepared, Watch};

/// How long a target may take to let go of what was closed.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often, and how patiently, it is asked whether it serves.
const ASK_TIMES: u32 = 3;
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Waits until the target has let go of the connections that were closed, as far as it says, and where memory ran low
/// until that is back; but not for ever. Returns how many it still has beside those of before.
pub fn let_go(watch: &Watch, stop: &Stop, ran_low: bool) -> Option<u64> {
    let until = Instant::now() + LET_GO_WITHIN;
    loop {
        let look = watch.look();
        let held = watch.with_ends(|ends| ends.strangers());
        // One that does not say is given a moment.
        let Some(live) = look.target.as_ref().and_then(|target| target.live) else {
            pause(LOOK_EVERY * 10);
            return None;
        };
        let left = live.saturating_sub(held);
        let is_back = !ran_low || watch.with_witness(|witness| witness.is_memory_back(&look));
        let is_free = left == 0 && is_back;
        if is_free || stop.requested() || Instant::now() >= until {
            return Some(left);
        }
        pause(LOOK_EVERY);
    }
}

/// How it is after the last way up.
pub fn look(prepared: &mut Prepared, watch: &Watch, stop: &Stop) -> After {
    if let Some(how) = prepared.reached.died() {
        return After { alive: Some(false), serving: Some(false), left: None, why: Some(how) };
    }
    let left = let_go(watch, stop, false);
    if stop.requested() {
        return After { why: Some("not looked at: it was stopped".to_owned()), ..After::default() };
    }
    let state = watch.with_witness(Witness::pid).and_then(usage::state);
    let said = watch.with_witness(Witness::stopped);
    let refused = ask(prepared, said, stop).err();
    let is_serving = refused.is_none();
    if watch.with_witness(Witness::is_gone) {
        return After { alive: Some(false), serving: Some(is_serving), left: None, why: refused };
    }
    let alive = match state {
        Some(ProcessState::Ended) => Some(false),
        Some(ProcessState::Alive | ProcessState::Stopped) => Some(true),
        // Who answers lives.
        None => is_serving.then_some(true),
    };
    let why = match (said, left) {
        (Some(pid), _) => Some(format!("its process {pid} is stopped (state T)")),
        (None, _) if !is_serving => refused,
        (None, Some(left @ 1..)) => Some(format!(
            "it still counts {} connections as open, {} s after they were closed",
            format_count(left),
            LET_GO_WITHIN.as_secs()
        )),
        (None, _) => None,
    };
    After { alive, serving: Some(is_serving), left, why }
}

/// Whether the target is there, runs and serves, so that another way up tells something.
pub fn is_serving(prepared: &mut Prepared, watch: &Watch, stop: &Stop) -> bool {
    let is_there = prepared.reached.died().is_none() && !watch.with_witness(Witness::is_gone);
    is_there && ask(prepared, watch.with_witness(Witness::stopped), stop).is_ok()
}

/// One connection and one echo, tried a few times. `stopped`: a process of it that cannot answer.
fn ask(prepared: &Prepared, stopped: Option<u32>, stop: &Stop) -> Result<(), String> {
    if let Some(pid) = stopped {
        return Err(format!("its process {pid} is stopped"));
    }
    let timeout = ASK_TIMEOUT.min(prepared.options.timeout);
    let options = LoadOptions { timeout, ..prepared.options.clone() };
    let mut tries = 0;
    loop {
        match brink_client::probe(&options) {
            Ok(_) => return Ok(()),
            Err(error) if tries == ASK_TIMES || stop.requested() => return Err(error.to_string()),
            Err(_) => {}
        }
        tries += 1;
        pause(LOOK_EVERY);
    }
}

#[expect(clippy::disallowed_methods, reason = "gives the target time; nothing is measured meanwhile")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
