//! Writes a made-up run with its report and charts into a folder, to be looked at:
//! `cargo run -p brink-results --example report -- FOLDER`. Not a measurement.

#[path = "../tests/it/fixtures.rs"]
#[allow(dead_code, missing_docs, clippy::unwrap_used, reason = "shared with the tests, which use all of it")]
mod fixtures;

use brink_results::{answer, charts, report, store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("name a folder")?;
    let mut run = fixtures::run();
    run.results.push(fixtures::at_limit());
    run.results.push(fixtures::nothing_opened());
    print!("{}\n{}", answer::answer(&run), answer::answer_one(&run.results[11]));
    std::fs::create_dir_all(&dir)?;
    for (i, result) in run.results.iter().enumerate() {
        store::write_result(dir.as_ref(), i + 1, result)?;
    }
    store::write_report(dir.as_ref(), &report::render(&run))?;
    for (i, figure) in charts::all(&run).iter().enumerate() {
        std::fs::write(format!("{dir}/chart-{i}.svg"), figure.standalone())?;
    }
    Ok(())
}
