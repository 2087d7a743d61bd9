//! The schema: what results look like in JSON, for those who read them with programs of their own.
//!
//! It is made of the types, and committed as `reports/results.schema.json`.

use schemars::Schema;
use schemars::generate::SchemaSettings;

use super::results::Results;

/// The JSON Schema of results.
pub fn schema() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Results>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;
    use crate::target::ReferenceTarget;

    #[test]
    fn the_committed_schema_is_that_of_the_types() {
        let committed = include_str!("../../../reports/results.schema.json");
        let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        // Not `assert_eq!`, which would print both.
        assert!(
            made == committed,
            "it is not; make it anew: binderdrill report --schema > reports/results.schema.json"
        );
    }

    #[test]
    fn real_results_are_as_the_schema_says() {
        let schema = serde_json::to_value(schema()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let results = super::super::tests::results(
            &["transaction/"],
            vec![ReferenceTarget::new(reference_driver::Profile::C)],
        );
        let text = serde_json::to_value(&results).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&text).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(!suite::version().is_empty());
        let mut text = text;
        text["runs"][0]["cases"][0]["verdict"]["kind"] = "splendid".into();
        assert!(!validator.is_valid(&text));
    }
}
