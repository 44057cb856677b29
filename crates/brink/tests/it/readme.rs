//! The README's figures come from files in results/: its tables are drawn again from them.

use std::path::Path;

use brink_results::{answer, store};

use crate::program::root;

/// A block that begins with `<!-- table from DIR -->` holds the first paragraph of DIR's answer.
#[test]
fn tables_are_those_of_the_results_they_name() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut seen = 0;
    for part in text.split("<!-- table from ").skip(1) {
        let (dir, rest) = part.split_once(" -->").unwrap();
        let block = rest.split("```").nth(1).unwrap().trim();
        let run = store::read_run(&root().join(dir)).unwrap();
        let answer = answer::answer(&run);
        let table = answer.split("\n\n").next().unwrap();
        assert_eq!(block, table.trim(), "the table from {dir}");
        seen += 1;
    }
    assert!(seen > 0, "the README has a table");
}

/// A block that begins with `<!-- ceiling from DIR -->` is the answer of the ceiling in DIR.
#[test]
fn ceilings_are_those_of_the_results_they_name() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut seen = 0;
    for part in text.split("<!-- ceiling from ").skip(1) {
        let (dir, rest) = part.split_once(" -->").unwrap();
        let block = rest.split("```").nth(1).unwrap().trim();
        let run = store::read_run(&root().join(dir)).unwrap();
        assert_eq!(block, answer::answer_ceiling(&run.results[0]).trim(), "the ceiling from {dir}");
        seen += 1;
    }
    assert!(seen > 0, "the README shows a ceiling");
}

/// A block that begins with `<!-- load from DIR -->` is the answer of the one load in DIR.
#[test]
fn loads_are_those_of_the_results_they_name() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut seen = 0;
    for part in text.split("<!-- load from ").skip(1) {
        let (dir, rest) = part.split_once(" -->").unwrap();
        let block = rest.split("```").nth(1).unwrap().trim();
        let run = store::read_run(&root().join(dir)).unwrap();
        let told = answer::answer_one(&run.results[0]);
        assert_eq!(block, told.trim(), "the load from {dir}:\n{told}");
        seen += 1;
    }
    assert!(seen > 0, "the README shows a load");
}

/// Each line of a block that begins with `<!-- lines from DIR -->` is a line of DIR's answer, in the same order.
#[test]
fn lines_are_those_of_the_results_they_name() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut seen = 0;
    for part in text.split("<!-- lines from ").skip(1) {
        let (dir, rest) = part.split_once(" -->").unwrap();
        let answer = answer::answer(&store::read_run(&root().join(dir)).unwrap());
        let mut left = answer.lines();
        for line in rest.split("```").nth(1).unwrap().trim_matches('\n').lines() {
            assert!(left.any(|told| told == line), "{dir} does not say, or not in this order: {line}");
            seen += 1;
        }
    }
    assert!(seen > 5, "the README quotes results");
}

/// The table that follows `<!-- rows from FILE -->` holds rows of that file, in the same order.
#[test]
fn rows_are_those_of_the_files_they_name() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut seen = 0;
    for part in text.split("<!-- rows from ").skip(1) {
        let (file, rest) = part.split_once(" -->").unwrap();
        let whole = std::fs::read_to_string(root().join(file)).unwrap();
        let mut left = whole.lines();
        for row in rest.trim_start().lines().take_while(|line| line.starts_with('|')) {
            assert!(left.any(|line| line == row), "{file} does not say, or not in this order: {row}");
            seen += 1;
        }
    }
    assert!(seen > 3, "the README quotes tables");
}

#[test]
fn every_file_it_points_to_is_there() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local: Vec<_> = links.filter(|link| !link.contains("://") && !link.starts_with('#')).collect();
    assert!(local.len() >= 3);
    for link in local {
        assert!(root().join(link).exists() || Path::new(link).exists(), "{link}");
    }
}

/// A table after `<!-- claims from DIR -->` has every claim of DIR with its verdict, and the beginning of what was measured.
#[test]
fn claims_are_those_of_the_results_they_name() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut seen = 0;
    for part in text.split("<!-- claims from ").skip(1) {
        let (dir, rest) = part.split_once(" -->").unwrap();
        let (spec, _) = store::read_claims(&root().join(dir)).unwrap().unwrap();
        let rows: Vec<&str> = rest.lines().skip_while(|line| !line.starts_with("|---")).skip(1).collect();
        assert_eq!(spec.claims.len(), spec.judged.len());
        for ((claim, judged), row) in spec.claims.iter().zip(&spec.judged).zip(rows) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [id, says, verdict, measured] = cells[..] else { panic!("four cells are needed: {row}") };
            let verdict = verdict.trim_matches('*');
            assert_eq!((id, says, verdict), (&*claim.id, &*claim.says, judged.verdict.word()), "{dir}");
            assert!(judged.sentence.starts_with(measured), "{id}: {dir} says: {}", judged.sentence);
            assert!(measured.ends_with('.'), "{id}: a whole sentence: {measured}");
            seen += 1;
        }
    }
    assert!(seen > 0, "the README shows claims");
}

/// So is a table after `<!-- changes of DIR -->`, of what would change each verdict.
#[test]
fn what_would_change_a_verdict_is_what_the_results_say() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (dir, rest) = text.split_once("<!-- changes of ").unwrap().1.split_once(" -->").unwrap();
    let (spec, _) = store::read_claims(&root().join(dir)).unwrap().unwrap();
    let rows: Vec<&str> = rest.lines().skip_while(|line| !line.starts_with("|---")).skip(1).collect();
    assert!(!spec.claims.is_empty());
    for (claim, row) in spec.claims.iter().zip(rows) {
        assert_eq!(row, format!("| {} | {} |", claim.id, claim.would_change), "{dir}");
    }
}
