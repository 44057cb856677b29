//! What is seen while it runs: a bar and a few lines on a terminal, one line a second elsewhere. On stderr only.
//!
//! A thread of its own draws what it is told, so that a terminal that is held (Ctrl-S) or a pipe that nobody reads keeps
//! nobody from measuring: who tells never waits. It measures nothing.

mod left;
mod painter;
mod scene;
mod snapshot;

use std::io::IsTerminal;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub use self::left::Left;
use self::painter::{Painter, Size};
use self::scene::Scene;
pub use self::snapshot::{Details, LatencySoFar, Snapshot};
use crate::ends::lock;
use crate::stderr;

/// How often a terminal is drawn anew at most, and how often a line is said elsewhere.
const DRAW_EVERY: Duration = Duration::from_millis(200);
const SAY_EVERY: Duration = Duration::from_secs(1);
/// How long what is left to say is waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How cases are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Only what is said.
    Quiet,
    /// A line a second.
    Lines,
    /// Drawn over again and again.
    Terminal,
}

/// Shows the cases of a run.
pub struct Progress {
    shared: Arc<Shared>,
    /// Is disconnected when the thread that draws has ended.
    drawing: Option<Receiver<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    said: Vec<String>,
    left: Left,
    cases: usize,
    number: usize,
    name: String,
    began: Option<Instant>,
    case_began: Option<Instant>,
    snapshot: Option<Snapshot>,
    /// The case that had a line of its own last: where lines are said, every case has one, however short.
    told: usize,
    says_lines: bool,
    is_over: bool,
}

impl Progress {
    /// For a run of these cases, of which `left` says how long they take. `quiet`: only what is said is shown.
    pub fn new(cases: usize, left: Left, quiet: bool) -> Self {
        let manner = match () {
            () if quiet => Manner::Quiet,
            () if std::io::stderr().is_terminal()
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb") =>
            {
                Manner::Terminal
            }
            () => Manner::Lines,
        };
        let says_lines = manner == Manner::Lines;
        let state = State { left, cases, says_lines, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (done, drawing) = mpsc::channel();
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("drawing".to_owned()).spawn(move || {
            draw(&seen, manner);
            drop(done);
        });
        // Without a thread to spare nothing is shown, but all is measured.
        Self { shared, drawing: thread.is_ok().then_some(drawing) }
    }

    /// A case begins.
    pub fn begin(&self, name: &str) {
        self.change(|state| {
            state.number += 1;
            name.clone_into(&mut state.name);
            state.case_began = Some(Instant::now());
            state.began = state.began.or(state.case_began);
            state.snapshot = None;
        });
    }

    /// Something runs between the cases.
    pub fn meanwhile(&self, name: &str) {
        self.change(|state| {
            name.clone_into(&mut state.name);
            state.case_began = Some(Instant::now());
            state.began = state.began.or(state.case_began);
            state.snapshot = None;
        });
    }

    /// The running case, several times a second.
    pub fn update(&self, snapshot: &Snapshot) {
        let snapshot = Snapshot { details: None, ..snapshot.clone() };
        self.change(|state| state.snapshot = Some(snapshot));
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match self.drawing {
            Some(_) => self.change(|state| state.said.push(line.to_owned())),
            None => stderr::say(line),
        }
    }

    /// The case is over; `is_whole`: as planned.
    pub fn end(&self, is_whole: bool) {
        self.change(|state| {
            if state.says_lines && state.snapshot.is_some() && state.told != state.number {
                state.told = state.number;
                state.said.push(state.scene().line());
            }
            let took = state.case_began.take().map(|began| began.elapsed());
            if let Some(took) = took {
                state.left.learn(state.number.saturating_sub(1), took.as_secs_f64(), is_whole);
            }
            state.snapshot = None;
        });
    }

    /// All cases are over: nothing is left on the terminal but what was said.
    pub fn finish(&mut self) {
        self.change(|state| state.is_over = true);
        if let Some(drawing) = self.drawing.take() {
            // A terminal that is held, or a pipe that nobody reads, is not waited for for ever.
            let _over_or_late = drawing.recv_timeout(LAST_WORDS);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.shared.state));
        self.shared.changed.notify_one();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl State {
    fn scene(&self) -> Scene {
        let at = self.number.saturating_sub(1);
        let in_case_s = self.case_began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        let case_s = self.left.case_s(at);
        let in_case = case_s.map(|case_s| (in_case_s / case_s.max(0.001)).min(1.0));
        let done = match self.cases {
            1 => in_case,
            cases => Some((at as f64 + in_case.unwrap_or(0.0)) / cases as f64),
        };
        Scene {
            number: self.number,
            cases: self.cases,
            name: self.name.clone(),
            done,
            left_s: self.left.s(at, in_case_s),
            elapsed: self.began.map_or(Duration::ZERO, |began| began.elapsed()),
            snapshot: self.snapshot.clone(),
        }
    }
}

/// Draws until all is over. Only here is stderr written to, and never with the lock held.
fn draw(shared: &Shared, manner: Manner) {
    let cuts = ["XTERM_VERSION", "STY"].iter().any(|name| std::env::var_os(name).is_some());
    let mut painter = Painter::new(cuts);
    let mut last: Option<Instant> = None;
    if manner != Manner::Quiet {
        // What drawing takes of memory is there before the first connection: in a load it is the client's.
        let scene = Scene { snapshot: Some(Snapshot::default()), ..Scene::default() };
        drop((scene.line(), scene.lines(100)));
    }
    let every = if manner == Manner::Terminal { DRAW_EVERY } else { SAY_EVERY };
    loop {
        let mut state = lock(&shared.state);
        let is_due = last.is_none_or(|last| last.elapsed() >= every);
        let is_running = state.case_began.is_some() && manner != Manner::Quiet;
        let has_news = is_running && (manner == Manner::Terminal || state.snapshot.is_some());
        if state.said.is_empty() && !state.is_over && !(has_news && is_due) {
            let wait =
                last.filter(|_| has_news).map_or(SAY_EVERY, |last| every.saturating_sub(last.elapsed()));
            let waited = shared.changed.wait_timeout(state, wait.max(Duration::from_millis(1)));
            drop(waited);
            continue;
        }
        let (said, is_over) = (std::mem::take(&mut state.said), state.is_over);
        let scene = (has_news && is_due && !is_over).then(|| state.scene());
        if scene.is_some() {
            state.told = state.number;
        }
        let again = (is_running && !is_over).then(|| state.scene());
        drop(state);
        match manner {
            Manner::Terminal => {
                let size = Size::of_stderr();
                // One column stays free: a line that reaches the margin wraps on some terminals.
                let lines = again.map_or(Vec::new(), |scene| scene.lines(size.columns.saturating_sub(1)));
                let _nobody_looks = painter.draw(&said, &lines, size, &mut std::io::stderr());
                last = Some(Instant::now());
            }
            Manner::Quiet | Manner::Lines => {
                said.iter().for_each(|line| stderr::say(line));
                if let Some(scene) = scene {
                    stderr::say(&scene.line());
                    last = Some(Instant::now());
                }
            }
        }
        if is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is_counts_cases_and_the_part_of_the_one_that_runs() {
        let mut state = State { cases: 4, number: 3, name: "a".to_owned(), ..State::default() };
        assert_eq!(state.scene().done, Some(0.5));
        state.cases = 1;
        state.number = 1;
        assert_eq!((state.scene().done, state.scene().left_s), (None, None), "a ceiling takes what it takes");
    }

    #[test]
    fn who_tells_never_waits_and_what_was_said_comes_out() {
        let mut progress = Progress::new(1, Left::default(), true);
        progress.begin("a");
        let held = lock(&progress.shared.state);
        assert!(held.case_began.is_some());
        drop(held);
        progress.update(&Snapshot::default());
        progress.end(true);
        progress.finish();
        assert!(lock(&progress.shared.state).said.is_empty());
    }
}
