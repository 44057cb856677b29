//! Completions and manual pages: made of the parser's own definitions, and taken by those who read them.

use std::path::Path;
use std::process::{Command, Output};

use crate::examples::{commands, examples, has};
use crate::program::{run, stdout};

/// Flags in a command's help.
fn flags(command: &str) -> Vec<String> {
    let help = stdout(&["help", command], 0);
    let (options, _) = help.split_once("\nExamples:\n").unwrap();
    // What a flag does stands further to the right.
    let heads = options.lines().filter(|line| !line.starts_with("        ")).map(str::trim);
    let heads = heads.filter(|line| line.starts_with('-'));
    let words = heads.flat_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--")));
    words.map(|flag| flag[2..].to_owned()).filter(|flag| flag != "help").collect()
}

fn script(dir: &Path, shell: &str) -> (String, String) {
    let path = dir.join(shell);
    let text = stdout(&["completions", shell], 0);
    std::fs::write(&path, &text).unwrap();
    (path.to_str().unwrap().to_owned(), text)
}

/// Runs a program that must be content and say nothing.
fn content(program: &str, args: &[&str]) {
    if !has(program) {
        println!("skipped: no {program}");
        return;
    }
    let output = Command::new(program).args(args).env("MANWIDTH", "80").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let told = String::from_utf8_lossy(&output.stdout);
    let is_content = output.status.success() && said.is_empty();
    assert!(is_content, "{program} {args:?}: {}\n{said}{told}", output.status);
}

#[test]
fn shells_take_their_scripts() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (path, _) = script(dir.path(), shell);
        content(shell, &["-n", &path]);
    }
    let refused = run(&["completions", "tcsh"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("tcsh") && said.contains("bash, zsh, fish") && said.lines().count() == 1, "{said}");
}

#[test]
fn every_command_and_flag_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let [bash, zsh, fish] = ["bash", "zsh", "fish"].map(|shell| script(dir.path(), shell).1);
    let mut seen = 0;
    for command in commands() {
        for script in [&bash, &zsh, &fish] {
            assert!(script.contains(&command), "{command}");
        }
        for flag in flags(&command) {
            assert!(bash.contains(&format!("--{flag}")), "bash: {command} --{flag}");
            assert!(zsh.contains(&format!("--{flag}")), "zsh: {command} --{flag}");
            let of_fish = |line: &str| {
                line.contains(&format!("__fish_brink_using_subcommand {command}\""))
                    && line.contains(&format!(" -l {flag}"))
            };
            assert!(fish.lines().any(of_fish), "fish: {command} --{flag}");
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} flags");
}

/// What bash offers for the last of these words.
fn offered(script: &str, words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
    let line = format!(
        "source '{script}'; COMP_WORDS=({}); COMP_CWORD={}; _brink brink '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1
    );
    let Output { stdout, stderr, status } = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn bash_offers_models_engines_and_files() {
    if !has("bash") {
        println!("skipped: no bash");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (script, _) = script(dir.path(), "bash");
    let all = |words: &[&str]| offered(&script, words).lines().map(str::to_owned).collect::<Vec<_>>();
    let models: Vec<_> = brink_target::MODELS.iter().map(|model| model.name).collect();
    assert_eq!(all(&["brink", "load", "--model", ""]), models);
    assert!(all(&["brink", "load", "--model", "tok"]).contains(&"tokio".to_owned()));
    let engines: Vec<_> = brink_client::ENGINES.iter().map(|engine| engine.name).collect();
    assert_eq!(all(&["brink", "ceiling", "--engine", ""]), engines);
    assert_eq!(all(&["brink", "load", "--workload", "b"]), ["burst"]);
    assert_eq!(all(&["brink", "completions", "z"]), ["zsh"]);
    assert!(all(&["brink", "load", "--conn"]).contains(&"--connections".to_owned()));
    assert!(all(&["brink", "swe"]).contains(&"sweep".to_owned()));
    std::fs::write(dir.path().join("mine.toml"), "").unwrap();
    let file = dir.path().join("mine.toml").to_str().unwrap().to_owned();
    let begun = &file[..file.len() - 3];
    assert!(all(&["brink", "report", "x", "--out", begun]).contains(&file));
}

#[test]
fn a_manual_page_for_each_command() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("man1");
    stdout(&["man", at.to_str().unwrap()], 0);
    let page = |name: &str| std::fs::read_to_string(at.join(name)).unwrap().replace("\\-", "-");
    let mut names = vec!["brink.1".to_owned()];
    names.extend(commands().iter().map(|command| format!("brink-{command}.1")));
    assert_eq!(std::fs::read_dir(&at).unwrap().count(), names.len());
    assert_eq!(stdout(&["man"], 0).replace("\\-", "-"), page("brink.1"));
    for command in commands() {
        assert!(page("brink.1").contains(&format!("brink-{command}(1)")), "{command}");
        let page = page(&format!("brink-{command}.1"));
        for flag in flags(&command) {
            assert!(page.contains(&format!("--{flag}")), "{command}: --{flag}");
        }
        for example in examples(&command) {
            let as_roff = example.replace('\'', "\\*(Aq");
            assert!(page.contains(&example) || page.contains(&as_roff), "{command}: {example}\n{page}");
        }
    }
    assert!(page("brink-load.1").contains("tokio") && page("brink-load.1").contains("EXIT STATUS"));
    for name in &names {
        let path = at.join(name);
        content("man", &["--warnings", "-l", path.to_str().unwrap()]);
        content("mandoc", &["-Tlint", "-Wwarning", path.to_str().unwrap()]);
    }
    let taken = dir.path().join("file");
    std::fs::write(&taken, "").unwrap();
    let refused = run(&["man", taken.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("cannot be written"));
}
