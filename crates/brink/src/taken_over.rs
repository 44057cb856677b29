//! What an earlier run of claims measured, for another run of the same cases: an edited file measures only what is new in it.
//!
//! Must not take over what was measured on another machine, nor what was cut short.

use std::path::Path;

use brink_results::case::Case;
use brink_results::claims::Spec;
use brink_results::claims::program::ProgramResult;
use brink_results::schema::{CaseResult, Plan};
use brink_results::store::{self, RunData};

use crate::command;
use crate::exit::Failure;
use crate::run_folder;

/// An earlier run of claims.
pub struct Earlier {
    run: RunData,
    programs: Vec<ProgramResult>,
}

/// What came of taking over.
pub struct Copied {
    /// The cases that are to be run, with their numbers.
    pub left: Vec<(usize, Case)>,
    /// What programs said that are not.
    pub programs: Vec<ProgramResult>,
}

impl Earlier {
    /// Reads its folder.
    ///
    /// # Errors
    /// A usage failure for a folder that is none of claims, or of a run on another machine.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::usage(format!("--from: {why}"));
        let run = store::read_run(folder).map_err(|error| wrong(error.to_string()))?;
        let (_, programs) = command::claims_in(folder, "--from")?;
        if command::is_of_another_machine(&run) {
            let why = "was measured on another machine, kernel or set of CPUs than this: its figures cannot stand beside those of this one";
            return Err(wrong(format!("{}: {why}", folder.display())));
        }
        Ok(Self { run, programs })
    }

    /// Copies what is of this plan into its folder.
    ///
    /// # Errors
    /// A failure when a result cannot be written.
    pub fn copy(self, folder: &Path, plan: &Plan, spec: &Spec) -> Result<Copied, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
        let mut left = Vec::new();
        for (number, case) in (1..).zip(&plan.cases) {
            let is_it = |result: &&CaseResult| {
                result.case.name == case.name && !result.interrupted && run_folder::is_of(case, &result.case)
            };
            match self.run.results.iter().find(is_it) {
                Some(result) => {
                    store::write_result(folder, number, result).map_err(|error| failed(&error))?;
                }
                None => left.push((number, case.clone())),
            }
        }
        let mut said = Vec::new();
        for (number, of) in (1..).zip(&spec.programs) {
            let is_it = |result: &&ProgramResult| {
                (&result.name, result.repeat, &result.command) == (&of.name, of.repeat, &of.command)
                    && result.why_none().is_none()
            };
            if let Some(result) = self.programs.iter().find(is_it) {
                store::write_program(folder, number, result).map_err(|error| failed(&error))?;
                said.push(result.clone());
            }
        }
        Ok(Copied { left, programs: said })
    }
}
