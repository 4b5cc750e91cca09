//! The document is the one that was reviewed, and holds together.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::*;

fn parsed() -> Value {
    serde_json::from_slice(&document()).unwrap()
}

#[test]
fn the_document_is_the_one_that_is_committed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let made = serde_json::to_string_pretty(&parsed()).unwrap() + "\n";
    if std::env::var_os("HELIOGRAPH_UPDATE").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        made == committed,
        "docs/openapi.json is not what the handlers say: run this test with HELIOGRAPH_UPDATE=1, \
         read the difference and commit it"
    );
}

#[test]
fn every_operation_has_its_own_name_a_known_tag_a_title_and_an_answer() {
    let document = parsed();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let of = format!("{method} {path}");
            assert!(names.insert(operation["operationId"].to_string()), "{of}: name");
            let tags = operation["tags"].as_array().unwrap();
            assert!(
                matches!(tags.as_slice(), [tag] if TAGS.iter().any(|(name, _)| tag == name)),
                "{of}: {tags:?}"
            );
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{of}");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')), "{of}: success");
            for part in path.split('/').filter(|part| part.starts_with('{')) {
                let name = part.trim_matches(['{', '}']);
                let given = operation["parameters"].as_array().unwrap();
                assert!(given.iter().any(|one| one["in"] == "path" && one["name"] == name), "{of}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(at: &Value, document: &Value) {
        match at {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let pointer = reference.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                map.values().for_each(|value| check(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| check(value, document)),
            _ => {}
        }
    }
    let document = parsed();
    check(&document, &document);
}

#[test]
fn the_table_of_coverage_has_every_route_and_every_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COVERAGE.md");
    let table = fs::read_to_string(file).unwrap();
    for (path, item) in parsed()["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let row = format!("| `{} {path}` | ", method.to_uppercase());
            assert!(table.contains(&row), "docs/COVERAGE.md has no row {row}");
        }
    }
    for code in contract::Code::ALL {
        let row = format!("| {} | {} | ", code.get(), code.title());
        assert!(table.contains(&row), "docs/COVERAGE.md has no row {row}");
    }
}
