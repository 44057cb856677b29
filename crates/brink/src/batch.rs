//! Cases one after the other, each in a process of its own, told about while they run and written as they end.
//!
//! Must not know why they are run: a sweep, or claims.

use std::path::Path;

use brink_results::answer::ceiling::headline;
use brink_results::case::Case;
use brink_results::schema::{CaseResult, Verdict};
use brink_results::{answer, store};

use crate::audience::Audience;
use crate::case_process::{Asked, CaseRunner, Ran};
use crate::ceiling::{self, Climbing};
use crate::exit::Failure;
use crate::hdr_file::HdrFile;
use crate::preflight::{self, Surroundings};

/// Cases on their way.
pub struct Batch<'a> {
    /// Folder of the results.
    pub out: &'a Path,
    /// Whether a case is refused that a limit is known to end early.
    pub preflight: bool,
    /// What runs them.
    pub runner: &'a CaseRunner,
    /// Who is told.
    pub audience: Audience,
    /// Where their histograms go as well.
    pub hdr_log: Option<HdrFile>,
}

impl Batch<'_> {
    /// Runs one case in a process of its own. Whatever becomes of it, there is a result afterwards.
    ///
    /// # Errors
    /// A failure when the result cannot be read or written.
    pub fn run_case(&mut self, number: usize, case: &Case) -> Result<CaseResult, Failure> {
        self.audience.begin(case);
        let before = self.out.join(store::result_file_name(number, &case.name));
        store::set_aside(&before).map_err(|error| Failure::failed(error.to_string()))?;
        let audience = &mut self.audience;
        let climbing = case.load.climb.as_ref().map(Climbing::of);
        let asked = Asked {
            out: Some((self.out, number)),
            // Whether a limit is in the way of a climb is what is asked.
            preflight: self.preflight && climbing.is_none(),
            climbing: climbing.as_ref(),
            token: None,
        };
        let Ran { mut result, died } = self.runner.run(case, asked, |snapshot| audience.update(snapshot))?;
        if let (true, Some(climbing), true) = (died.is_some(), &climbing, result.failure_point.is_some()) {
            result.ceiling = Some(ceiling::of_dead_client(&result, climbing.memory_floor_bytes));
            store::write_result(self.out, number, &result)
                .map_err(|error| Failure::failed(error.to_string()))?;
        }
        if let Some(found) = &result.ceiling {
            self.audience.say(&format!("brink: {}: {}", case.name, headline(&result, found)));
        } else if let Some(why) = died {
            self.audience.say(&format!("brink: {}: {why}", case.name));
        } else if result.validity.verdict != Verdict::Valid {
            let why = result.validity.reasons.first().map_or("", String::as_str);
            let verdict = answer::table::verdict_name(result.validity.verdict);
            self.audience.say(&format!("brink: {}: {verdict}: {why}", case.name));
        }
        if let Some(Err(why)) = self.hdr_log.as_mut().map(|log| log.add(&result)) {
            self.audience.say(&format!("brink: {why}"));
        }
        self.audience.end(&result);
        Ok(result)
    }
}

/// Before anything runs: which cases a limit will refuse, and what lifts it.
pub fn forecast(cases: &[(usize, Case)]) -> Vec<(String, String)> {
    let limits = brink_host::limits::read(std::process::id());
    let cpus = brink_host::cpus::allowed().map_or(1, |cpus| cpus.len() as u32);
    let mut refused = Vec::new();
    for (_, case) in cases.iter().filter(|(_, case)| case.load.climb.is_none()) {
        if let Some(why) = preflight::check(case, &Surroundings::before(case, &limits, cpus)).short {
            refused.push((case.name.clone(), why));
        }
    }
    refused
}
