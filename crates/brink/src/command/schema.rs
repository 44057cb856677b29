//! `brink schema`: the JSON Schema of what brink writes.

use brink_results::schemas::{self, SCHEMAS};

use crate::cli::SchemaArgs;
use crate::command;
use crate::exit::Failure;

/// Prints a schema, or what there is.
///
/// # Errors
/// A failure when stdout cannot be written to.
pub fn run(args: &SchemaArgs) -> Result<(), Failure> {
    match args.name.as_deref().and_then(schemas::find) {
        Some(schema) => command::print(schema.text),
        None => {
            let lines = SCHEMAS.iter().map(|schema| format!("{:<16} {}\n", schema.name, schema.about));
            command::print(&lines.collect::<String>())
        }
    }
}
