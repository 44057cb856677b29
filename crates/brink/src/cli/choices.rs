//! Flags whose values are a few words.

use clap::ValueEnum;
use serde::Deserialize;

/// `--format` of `brink compare`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For people
    Text,
    /// One JSON object and nothing else
    Json,
    /// For a pull request
    Markdown,
}

/// `--way` of `brink bare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BareWay {
    /// A thread each
    Threads,
    /// A task each, on tokio's multi-thread runtime
    Tokio,
}

/// `--workload`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadName {
    /// Next request after the reply
    Closed,
    /// Stay idle, but for a heartbeat
    Hold,
    /// Requests at a --rate, whatever the target does
    Open,
    /// All --requests at once
    Burst,
    /// Connect, one request, close, over and over
    Churn,
}

/// `--arrivals`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrivalsName {
    /// Evenly spaced [default]
    Fixed,
    /// As a Poisson process
    Poisson,
}

/// `--close`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseName {
    /// By RST: no TIME_WAIT is left behind.
    Rst,
    /// By FIN.
    Fin,
}

/// `--format` of what is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object and nothing else
    Json,
}

/// `--format` of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    /// For people
    Text,
    /// One JSON object and nothing else
    Json,
    /// A table: one row for each case and repeat
    Csv,
}

/// `--format` of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// A page with all plots
    Html,
    /// A table: one row for each case and repeat
    Csv,
}

/// A shell that completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellName {
    /// Bourne-Again shell
    Bash,
    /// Z shell
    Zsh,
    /// Friendly interactive shell
    Fish,
}
