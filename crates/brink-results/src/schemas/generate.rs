//! Generates the schemas from the types, for the test that compares them with what is checked in.
//!
//! Results are additive: nothing forbids fields that are not listed. A field is `required` if every version of the
//! program wrote it; one that came later has a `default`, which is what it is read as where it is missing.

use brink_wire::control::{Info, LimitReading, Ready, TargetUsage};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::claims::Spec;
use crate::claims::guide::Advice;
use crate::claims::program::ProgramResult;
use crate::comparison::Told;
use crate::schema::{CaseResult, EndSample, LimitsTold, Line, MachineSample, Plan, Sweep};

/// The text of the schema of that name; `None` where there is no such name.
#[must_use]
pub fn text(name: &str) -> Option<String> {
    let schema = match name {
        "result" => of::<CaseResult>("brink.result/1"),
        "plan" => of::<Plan>("brink.plan/1"),
        "sweep" => of::<Sweep>("brink sweep --format json"),
        "comparison" => of::<Told>("brink.comparison/1"),
        "ndjson" => of::<Line>("brink --ndjson, a line"),
        "claims" => of::<Spec>("brink.claims/1"),
        "program" => of::<ProgramResult>("brink.program/1"),
        "advice" => of::<Advice>("brink advise --format json"),
        "limits" => of::<LimitsTold>("brink.limits/1"),
        "sample" => of::<EndSample>("brink sample of an end"),
        "machine-sample" => of::<MachineSample>("brink sample of a machine"),
        "ready" => of::<Ready>("brink target, first line"),
        "control-info" => of::<Info>("brink target, GET /v1/info"),
        "control-usage" => of::<TargetUsage>("brink target, GET /v1/usage"),
        "control-limits" => of::<Vec<LimitReading>>("brink target, GET /v1/limits"),
        _ => return None,
    };
    serde_json::to_string_pretty(&schema).ok().map(|text| text + "\n")
}

fn of<T: JsonSchema>(title: &str) -> Schema {
    let mut schema =
        SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    if let Some(value) = schema.as_object_mut() {
        for definitions in value.get_mut("$defs").and_then(Value::as_object_mut).into_iter() {
            for (name, definition) in definitions.iter_mut() {
                if let Some(definition) = definition.as_object_mut() {
                    definition.entry("title").or_insert_with(|| name.as_str().into());
                }
            }
        }
    }
    let mut value = schema.to_value();
    tidy(&mut value);
    // It was a schema before, and no key was made that is none.
    Schema::try_from(value).unwrap_or_default()
}

/// Fields that came later are not required, and none is forbidden. Comments become sentences about JSON.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                let line = text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
                *text = line.replace("`None`:", "Null:").replace("`None`", "null");
            }
            if object.get("additionalProperties") == Some(&Value::Bool(false)) {
                object.remove("additionalProperties");
            }
            let later: Vec<String> = object
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter(|(_, property)| property.get("default").is_some())
                .map(|(name, _)| name.clone())
                .collect();
            if let Some(Value::Array(required)) = object.get_mut("required") {
                required.retain(|name| !later.iter().any(|later| name == later));
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}
