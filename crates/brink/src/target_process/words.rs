//! A command of a sweep file as the words that are executed. Pure.

/// Stands for the port in a command.
const PORT: &str = "{port}";

/// Splits a command as sh(1) would, quotes and backslashes included, but expands nothing: no
/// variables, no globs, no `~`. A word may hold `{port}`.
///
/// # Errors
/// One line that says what is wrong with it.
pub fn split(command: &str) -> Result<Vec<String>, String> {
    let words = shlex::split(command)
        .ok_or_else(|| format!("command `{command}`: a quote is not closed, or it ends in a backslash"))?;
    if words.is_empty() {
        return Err(format!("command `{command}`: there is no program in it"));
    }
    Ok(words)
}

/// Whether the command wants a port from brink.
pub fn wants_port(words: &[String]) -> bool {
    words.iter().any(|word| word.contains(PORT))
}

/// The words with the port filled in.
pub fn with_port(words: &[String], port: u16) -> Vec<String> {
    words.iter().map(|word| word.replace(PORT, &port.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_shell_without_its_expansions() {
        let words = split(r#"nginx -g 'daemon off; listen {port};' "a b" c\ d $HOME *"#).unwrap();
        assert_eq!(words, ["nginx", "-g", "daemon off; listen {port};", "a b", "c d", "$HOME", "*"]);
        assert!(wants_port(&words));
        assert_eq!(with_port(&words, 81)[2], "daemon off; listen 81;");
        assert!(!wants_port(&split("server --port 1").unwrap()));
        for bad in ["", "  ", "a 'b", "a \"b", "a \\", "# only a comment"] {
            assert!(split(bad).unwrap_err().contains("command `"), "{bad}");
        }
    }
}
