//! JSON Schema (draft 2020-12) of all that is written as JSON, as it is checked in under `schema/`. What is checked
//! in is generated from the types, and a test compares the two: so the program carries text, and no generator.

#[cfg(feature = "schema")]
pub mod generate;

/// The schema of one kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonSchema {
    /// How it is asked for: `result`.
    pub name: &'static str,
    /// The file it is checked in as, under `schema/`.
    pub file: &'static str,
    /// What it describes, in one line.
    pub about: &'static str,
    /// The schema itself.
    pub text: &'static str,
}

/// All of them, in the order they are shown.
pub const SCHEMAS: &[JsonSchema] = &[
    JsonSchema {
        name: "result",
        file: "brink.result-1.json",
        about: "a result: NNN-<case>.json, and what load and ceiling print with --format json",
        text: include_str!("../schema/brink.result-1.json"),
    },
    JsonSchema {
        name: "plan",
        file: "brink.plan-1.json",
        about: "a plan: plan.json, and what plan prints",
        text: include_str!("../schema/brink.plan-1.json"),
    },
    JsonSchema {
        name: "sweep",
        file: "brink.sweep-1.json",
        about: "what sweep prints with --format json: the plan and all results",
        text: include_str!("../schema/brink.sweep-1.json"),
    },
    JsonSchema {
        name: "comparison",
        file: "brink.comparison-1.json",
        about: "what compare prints with --format json: two runs side by side, and gates",
        text: include_str!("../schema/brink.comparison-1.json"),
    },
    JsonSchema {
        name: "ndjson",
        file: "brink.ndjson-1.json",
        about: "a line of --ndjson",
        text: include_str!("../schema/brink.ndjson-1.json"),
    },
    JsonSchema {
        name: "claims",
        file: "brink.claims-1.json",
        about: "claims and their verdicts: claims.json, and what claims prints with --format json",
        text: include_str!("../schema/brink.claims-1.json"),
    },
    JsonSchema {
        name: "program",
        file: "brink.program-1.json",
        about: "what a program of a claims file said: programs/NNN-<name>.json",
        text: include_str!("../schema/brink.program-1.json"),
    },
    JsonSchema {
        name: "advice",
        file: "brink.advice-1.json",
        about: "what advise prints with --format json",
        text: include_str!("../schema/brink.advice-1.json"),
    },
    JsonSchema {
        name: "limits",
        file: "brink.limits-1.json",
        about: "what limits prints with --format json",
        text: include_str!("../schema/brink.limits-1.json"),
    },
    JsonSchema {
        name: "sample",
        file: "brink.sample-1.json",
        about: "one end at one instant, as in usage.client and usage.target of a result",
        text: include_str!("../schema/brink.sample-1.json"),
    },
    JsonSchema {
        name: "machine-sample",
        file: "brink.machine-sample-1.json",
        about: "a machine at one instant, as in usage.machine and usage.target_machine of a result",
        text: include_str!("../schema/brink.machine-sample-1.json"),
    },
    JsonSchema {
        name: "ready",
        file: "brink.ready-1.json",
        about: "the first line on a target's stdout",
        text: include_str!("../schema/brink.ready-1.json"),
    },
    JsonSchema {
        name: "control-info",
        file: "brink.control-info-1.json",
        about: "what a target's control plane answers to GET /v1/info",
        text: include_str!("../schema/brink.control-info-1.json"),
    },
    JsonSchema {
        name: "control-usage",
        file: "brink.control-usage-1.json",
        about: "what a target's control plane answers to GET /v1/usage",
        text: include_str!("../schema/brink.control-usage-1.json"),
    },
    JsonSchema {
        name: "control-limits",
        file: "brink.control-limits-1.json",
        about: "what a target's control plane answers to GET /v1/limits",
        text: include_str!("../schema/brink.control-limits-1.json"),
    },
];

/// The schema of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static JsonSchema> {
    SCHEMAS.iter().find(|schema| schema.name == name)
}
