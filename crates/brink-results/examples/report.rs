//! Draws a run into a folder, to be looked at: a made-up one, which is not a measurement, or one that was measured.
//! `cargo run -p brink-results --example report -- FOLDER [RUN]`, where RUN is a folder, or `many`, `mixed`, `everything` or
//! `five-hundred` for other made-up ones; of the last only the result files are written.

#[path = "../tests/it/fixtures.rs"]
#[allow(dead_code, missing_docs, clippy::unwrap_used, reason = "shared with the tests, which use all of it")]
mod fixtures;
#[path = "../tests/it/large.rs"]
#[allow(dead_code, missing_docs, clippy::unwrap_used, reason = "shared with the tests, which use all of it")]
mod large;

use brink_results::store::RunData;
use brink_results::{answer, charts, report, store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name a folder")?;
    std::fs::create_dir_all(&dir)?;
    let run = match arguments.next() {
        Some(name) if name == "everything" => {
            store::write_result(dir.as_ref(), 1, &fixtures::everything())?;
            store::read_run(dir.as_ref())?
        }
        Some(name) if name == "five-hundred" => {
            for (i, result) in large::run(3).results.iter().enumerate() {
                store::write_result(dir.as_ref(), i + 1, result)?;
            }
            return Ok(());
        }
        Some(name) if name == "many" => fixtures::many(),
        Some(name) if name == "mixed" => fixtures::mixed(),
        Some(measured) => store::read_run(measured.as_ref())?,
        None => made_up(&dir)?,
    };
    print!("{}", answer::answer(&run));
    if let Some(last) = run.results.last() {
        print!("\n{}", answer::answer_one(last));
    }
    store::write_report(dir.as_ref(), &report::render(&run))?;
    for (i, figure) in charts::all(&run).each().enumerate() {
        std::fs::write(format!("{dir}/chart-{i}.svg"), figure.standalone())?;
    }
    Ok(())
}

fn made_up(dir: &str) -> Result<RunData, Box<dyn std::error::Error>> {
    let mut run = fixtures::run();
    run.results.push(fixtures::at_limit());
    run.results.push(fixtures::nothing_opened());
    for (i, result) in run.results.iter().enumerate() {
        store::write_result(dir.as_ref(), i + 1, result)?;
    }
    Ok(run)
}
