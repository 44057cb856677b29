//! Texts of a claims file with the figures put in: sentences and cells with `{names}` in braces.
//!
//! Must not reckon: what a name stands for is asked for.

use super::Table;

/// What a cell shows that was not measured.
pub const NOT_MEASURED: &str = "–";

/// Names in braces that a text uses.
#[must_use]
pub fn names_in(text: &str) -> Vec<&str> {
    text.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name)).collect()
}

/// The sentences with their figures; one that asks for what was not measured is left out.
#[must_use]
pub(super) fn said(shows: &[String], words: &dyn Fn(&str) -> Result<String, String>) -> String {
    let told: Vec<String> = shows.iter().filter_map(|text| put_in(text, words).ok()).collect();
    match told.is_empty() {
        true => "Not measured.".to_owned(),
        false => told.join(" "),
    }
}

/// The table with its figures; a cell that asks for what was not measured says so.
#[must_use]
pub(super) fn filled(table: &Table, words: &dyn Fn(&str) -> Result<String, String>) -> Table {
    let cell = |text: &String| put_in(text, words).unwrap_or_else(|_| NOT_MEASURED.to_owned());
    let rows = table.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    Table { rows, ..table.clone() }
}

fn put_in(text: &str, words: &dyn Fn(&str) -> Result<String, String>) -> Result<String, String> {
    names_in(text)
        .into_iter()
        .try_fold(text.to_owned(), |told, name| Ok(told.replace(&format!("{{{name}}}"), &words(name)?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{Table, filled, names_in, said};

    fn words(name: &str) -> Result<String, String> {
        match name {
            "a" => Ok("1 ms".to_owned()),
            "stopped_by of x" => Ok("pid_max".to_owned()),
            other => Err(format!("{other} was not measured")),
        }
    }

    #[test]
    fn a_sentence_without_its_figure_is_left_out() {
        let texts = ["It took {a}.", "The other took {b}, not {a}.", "It ended by {stopped_by of x}."];
        let texts = texts.map(str::to_owned);
        assert_eq!(said(&texts, &words), "It took 1 ms. It ended by pid_max.");
        assert_eq!(said(&texts[1..2], &words), "Not measured.");
        assert_eq!(names_in(&texts[1]), ["b", "a"]);
    }

    #[test]
    fn a_cell_without_its_figure_says_so() {
        let row = ["one", "{a}", "{b}"].map(str::to_owned).to_vec();
        let table = Table { columns: vec![String::new(); 3], rows: vec![row], note: String::new() };
        assert_eq!(filled(&table, &words).rows, [["one", "1 ms", "–"]]);
    }
}
