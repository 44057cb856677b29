//! Every file under configs/ can be parsed and planned, so none rots unseen.

use serde_json::Value;

use crate::program::{root, stdout};

#[test]
fn every_config_is_planned() {
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("configs")).unwrap() {
        let path = entry.unwrap().path();
        // Gates are no sweep: `compare` reads them.
        let is_gate = path.file_stem().is_some_and(|stem| stem == "gate");
        if path.extension().is_some_and(|extension| extension == "toml") && !is_gate {
            let plan: Value = serde_json::from_str(&stdout(&["plan", path.to_str().unwrap()], 0)).unwrap();
            assert!(!plan["cases"].as_array().unwrap().is_empty(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "the folder was found");
}

#[test]
fn a_plan_leaves_nothing_open_and_is_the_same_each_time() {
    let quick = root().join("configs/quick.toml");
    let once = stdout(&["plan", quick.to_str().unwrap()], 0);
    assert_eq!(once, stdout(&["plan", quick.to_str().unwrap()], 0));
    let plan: Value = serde_json::from_str(&once).unwrap();
    assert_eq!(plan["schema"], "brink.plan/1");
    let cases = plan["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12, "three models at four counts");
    for case in cases {
        assert!(case["load"]["threads"].as_u64().unwrap() >= 1);
        assert_eq!(case["load"]["plateaus"].as_array().unwrap().last(), Some(&case["load"]["connections"]));
    }
}

#[test]
fn help_names_every_model_and_engine_of_the_tables() {
    let (target, load) = (stdout(&["target", "--help"], 0), stdout(&["load", "--help"], 0));
    for model in brink_target::MODELS {
        assert!(target.contains(model.name) && load.contains(model.name), "{}", model.name);
    }
    for engine in brink_client::ENGINES {
        assert!(load.contains(engine.name), "{}", engine.name);
    }
}
