//! The schemas that are checked in: those of the types, complete, and true of every result there is.

use std::fs;
use std::path::{Path, PathBuf};

use brink_results::schemas::{SCHEMAS, find, generate};
use jsonschema::Validator;
use serde_json::Value;

use crate::fixtures::{everything, mixed};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// With `RENEW_SCHEMAS` set it writes what it would compare with.
#[test]
fn what_is_checked_in_is_what_the_types_generate() {
    let mut stale = Vec::new();
    for schema in SCHEMAS {
        let text = generate::text(schema.name).unwrap();
        if std::env::var_os("RENEW_SCHEMAS").is_some() {
            fs::write(folder().join("schema").join(schema.file), &text).unwrap();
        } else if text != schema.text {
            stale.push(schema.file);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} in crates/brink-results/schema are not what the types generate; \
         `RENEW_SCHEMAS=1 cargo test -p brink-results --test it schemas` writes them anew"
    );
    let files = fs::read_dir(folder().join("schema")).unwrap().count();
    assert_eq!(files, SCHEMAS.len(), "a file under schema/ belongs to no row of SCHEMAS");
}

#[test]
fn every_field_and_every_value_is_described() {
    for schema in SCHEMAS {
        let value: Value = serde_json::from_str(schema.text).unwrap();
        assert!(value["title"].is_string() && value["$schema"].is_string(), "{}", schema.name);
        let (mut fields, mut bare) = (0, Vec::new());
        undescribed(&value, schema.name, &mut fields, &mut bare);
        assert_eq!(bare, [""; 0], "{}", schema.file);
        assert!(fields > 0, "{}", schema.file);
    }
}

/// Fields, values of enums and definitions without a description, by path. An object that forbids more than it
/// names is one, too: results are additive.
fn undescribed(value: &Value, path: &str, fields: &mut usize, bare: &mut Vec<String>) {
    let described = |value: &Value| value["description"].as_str().is_some_and(|text| text.len() > 3);
    match value {
        Value::Object(object) => {
            for (name, below) in object {
                let path = format!("{path}.{name}");
                if name == "properties" || name == "$defs" {
                    for (name, field) in below.as_object().unwrap() {
                        *fields += 1;
                        // The tag of an enum: what it says is said of the whole.
                        let is_alone = below.as_object().unwrap().len() == 1 && described(value);
                        let is_tag = is_alone || name == "kind" && field.get("const").is_some();
                        if !described(field) && !is_tag {
                            bare.push(format!("{path}.{name}"));
                        }
                        undescribed(field, &format!("{path}.{name}"), fields, bare);
                    }
                    continue;
                }
                if name == "oneOf" && below.as_array().unwrap().iter().any(|one| !described(one)) {
                    bare.push(format!("a value of {path}"));
                }
                if name == "enum" || name == "additionalProperties" && below == false {
                    bare.push(path.clone());
                }
                undescribed(below, &path, fields, bare);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| undescribed(value, path, fields, bare)),
        _ => {}
    }
}

pub fn validator(name: &str) -> Validator {
    let value: Value = serde_json::from_str(find(name).unwrap().text).unwrap();
    assert!(jsonschema::meta::is_valid(&value), "{name} is no schema");
    jsonschema::validator_for(&value).unwrap()
}

/// What a document breaks, each with its path.
pub fn broken(validator: &Validator, document: &Value) -> Vec<String> {
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Every JSON file below a folder, with what it says.
pub fn documents(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|end| end == "json") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, serde_json::from_str(&text).unwrap()));
        }
    }
    found
}

#[test]
fn every_result_there_is_keeps_to_its_schema() {
    let names = ["result", "plan", "claims", "program"];
    let types = names.map(|name| (format!("brink.{name}/1"), validator(name)));
    // What scripts measure is not made of the crate's types: each script's schema stands beside it.
    let scripts = ["peers/bench.schema.json", "accuracy.schema.json"].map(|file| {
        let text = fs::read_to_string(folder().join("../../scripts").join(file)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        (value["title"].as_str().unwrap().to_owned(), jsonschema::validator_for(&value).unwrap())
    });
    let validators: Vec<_> = types.into_iter().chain(scripts).collect();
    // The tags of older results are the shapes that the schema of today still takes.
    let of = |tag: &str| validators.iter().find(|(name, _)| name == tag).unwrap_or(&validators[0]);
    let folders = ["../../results", "tests/samples", "tests/it/fixtures"].map(|name| folder().join(name));
    let documents: Vec<_> = folders.iter().flat_map(|folder| documents(folder)).collect();
    assert!(documents.len() > 60, "only {}", documents.len());
    for (path, document) in &documents {
        let Some(tag) = document["schema"].as_str() else { panic!("{} has no schema", path.display()) };
        let (_, by) = of(tag);
        assert_eq!(broken(by, document), [""; 0], "{}", path.display());
    }
}

#[test]
fn every_kind_of_result_keeps_to_the_schema() {
    let schema = validator("result");
    for result in [mixed().results, vec![everything()]].concat() {
        let document = serde_json::to_value(&result).unwrap();
        assert_eq!(broken(&schema, &document), [""; 0], "{}", result.case.name);
    }
}

#[test]
fn what_is_no_result_breaks_the_schema() {
    let schema = validator("result");
    let good = serde_json::to_value(everything()).unwrap();
    let wrong = |path: &str, value: Value, says: &str| {
        let mut document = good.clone();
        *document.pointer_mut(path).unwrap() = value;
        let told = broken(&schema, &document).join("\n");
        assert!(told.contains(says), "{path}: {told}");
    };
    wrong("/schema", "brink.result/2".into(), "brink.result/1");
    wrong("/connections/opened", (-1).into(), "/connections/opened");
    wrong("/connections/opened", "ten".into(), "integer");
    wrong("/validity/verdict", "fine".into(), "/validity/verdict");
    wrong("/connections", serde_json::json!({}), "required");
    let mut more = good.clone();
    more["connections"]["of_tomorrow"] = 1.into();
    assert_eq!(broken(&schema, &more), [""; 0], "a field that comes later breaks nothing");
}
