//! KCIDB: results as KernelCI's common database takes them, in version 5 of its format.
//!
//! A case that was run on a kernel is a test of a build of it; a deviation that is known is an issue, and that it showed is
//! an incident. What the reference driver did is about no kernel, and is left out. The format is published with the Python
//! package kcidb-io, whose licence keeps its schema out of this tree; the tests below say what it demands.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::case_result::CaseResult;
use super::outcome::{Outcome, told};
use super::results::{Results, TargetResults};
use crate::engine::Verdict;

/// The longest excerpt of a log that is taken, in characters.
const LONGEST_EXCERPT: usize = 16_384;

/// As whose, and about which build, results are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submission {
    /// Who sends them.
    pub origin: Origin,
    /// The build that was run, if KernelCI knows it; otherwise one is described.
    pub build: Option<BuildId>,
}

/// Who sends something to KernelCI, as is agreed with its people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin(String);

impl Default for Origin {
    fn default() -> Self {
        Origin("binderdrill".to_owned())
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(word: &str) -> Result<Origin, String> {
        if is_origin(word) {
            Ok(Origin(word.to_owned()))
        } else {
            Err("an origin has only small letters, digits and underscores, such as `mylab`".to_owned())
        }
    }
}

fn is_origin(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The name of a build, such as `maestro:6540…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildId(String);

impl FromStr for BuildId {
    type Err = String;

    fn from_str(word: &str) -> Result<BuildId, String> {
        match word.split_once(':') {
            Some((origin, _)) if is_origin(origin) && !word.contains('\0') => Ok(BuildId(word.to_owned())),
            _ => Err("a build is named after its origin, such as `maestro:0123abcd`".to_owned()),
        }
    }
}

/// Why results cannot be written for KernelCI.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    /// There is nothing about a kernel.
    #[error(
        "these results are of no kernel, and KernelCI is about kernels: name one, such as `--target vm:debian-6.12`"
    )]
    NoKernel,
    /// One build cannot be several kernels.
    #[error(
        "these results are of several kernels ({0}), and only one of them can be the build that is named"
    )]
    SeveralKernels(String),
    /// They cannot be written down.
    #[error("the results cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Writes results as KCIDB takes them.
pub fn write_kcidb(out: &mut dyn Write, results: &Results, as_whose: &Submission) -> Result<(), Unsendable> {
    serde_json::to_writer_pretty(&mut *out, &message(results, as_whose)?).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

fn message(results: &Results, as_whose: &Submission) -> Result<Message, Unsendable> {
    let is_kernel = |run: &&TargetResults| {
        !["reference", "record"].contains(&run.target.split(':').next().unwrap_or_default())
    };
    let runs: Vec<&TargetResults> = results.runs.iter().filter(is_kernel).collect();
    match (runs.len(), &as_whose.build) {
        (0, _) => return Err(Unsendable::NoKernel),
        (2.., Some(_)) => {
            let targets: Vec<&str> = runs.iter().map(|run| run.target.as_str()).collect();
            return Err(Unsendable::SeveralKernels(targets.join(", ")));
        }
        _ => {}
    }
    let mut message = Message::default();
    for run in runs {
        message.add(results, run, as_whose);
    }
    Ok(message)
}

/// All that is sent at once.
#[derive(Default, Serialize)]
struct Message {
    version: Version,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checkouts: Vec<Checkout>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    builds: Vec<Build>,
    tests: Vec<Test>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    issues: Vec<Issue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incidents: Vec<Incident>,
}

#[derive(Serialize)]
struct Version {
    major: u32,
    minor: u32,
}

impl Default for Version {
    fn default() -> Self {
        Version { major: 5, minor: 3 }
    }
}

/// The source of a kernel.
#[derive(Serialize)]
struct Checkout {
    id: String,
    origin: Origin,
    comment: String,
}

/// A kernel.
#[derive(Serialize)]
struct Build {
    id: String,
    checkout_id: String,
    origin: Origin,
    comment: String,
    misc: BTreeMap<&'static str, String>,
}

/// A case that was run on a kernel.
#[derive(Serialize)]
struct Test {
    id: String,
    build_id: String,
    origin: Origin,
    path: String,
    status: Status,
    comment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Timestamp>,
    environment: Environment,
    #[serde(skip_serializing_if = "String::is_empty")]
    log_excerpt: String,
    misc: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Pass,
    Fail,
    Skip,
    Error,
}

#[derive(Serialize)]
struct Environment {
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    misc: BTreeMap<&'static str, String>,
}

/// A deviation that is known.
#[derive(Serialize)]
struct Issue {
    id: String,
    version: u32,
    origin: Origin,
    report_subject: String,
    comment: String,
    culprit: Culprit,
}

#[derive(Serialize)]
struct Culprit {
    code: bool,
}

/// That a deviation that is known was seen.
#[derive(Serialize)]
struct Incident {
    id: String,
    origin: Origin,
    issue_id: String,
    issue_version: u32,
    test_id: String,
    present: bool,
}

impl Message {
    fn add(&mut self, results: &Results, run: &TargetResults, as_whose: &Submission) {
        let origin = &as_whose.origin;
        let build_id = match &as_whose.build {
            Some(BuildId(build)) => build.clone(),
            None => self.describe(run, origin),
        };
        for case in &run.cases {
            let started = results.provenance.as_ref().map(|provenance| provenance.started);
            let machine = results.provenance.as_ref().map(|provenance| text(&provenance.machine));
            let when = started.map(|started| started.to_string()).unwrap_or_default();
            let where_ = machine.clone().unwrap_or_default();
            let id = id(origin, &["test", &when, &where_, &build_id, &run.target, &case.id, &case.digest]);
            let (status, comment) = match Outcome::of(case) {
                Outcome::Passed => (Status::Pass, case.title.clone()),
                Outcome::Failed { message } => (Status::Fail, message),
                Outcome::Known { reason } => (Status::Fail, format!("deviates, as is known: {reason}")),
                Outcome::Skipped { reason } => (Status::Skip, reason),
                Outcome::Broken { message } => (Status::Error, message),
            };
            if let Verdict::KnownDeviation { reason, source, .. } = &case.verdict {
                self.note(origin, case, &id, reason, source);
            }
            let misc = [
                ("title", text(&case.title)),
                ("clauses", case.clauses.join(", ")),
                ("script_sha256", text(&case.digest)),
                ("binderdrill", text(&results.binderdrill)),
            ];
            self.tests.push(Test {
                id,
                build_id: build_id.clone(),
                origin: origin.clone(),
                path: path(&case.id),
                status,
                comment: text(&comment),
                start_time: started,
                environment: Environment {
                    comment: machine,
                    misc: BTreeMap::from([("target", text(&run.target))]),
                },
                log_excerpt: text(&told(case)).chars().take(LONGEST_EXCERPT).collect(),
                misc: misc.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            });
        }
    }

    /// Says what is known of a kernel that KernelCI has not built.
    fn describe(&mut self, run: &TargetResults, origin: &Origin) -> String {
        let driver = text(run.driver.as_deref().unwrap_or("an unknown driver"));
        let checkout_id = id(origin, &["checkout", &driver]);
        let build_id = id(origin, &["build", &driver, &run.target]);
        if self.checkouts.iter().all(|checkout| checkout.id != checkout_id) {
            self.checkouts.push(Checkout {
                id: checkout_id.clone(),
                origin: origin.clone(),
                comment: driver.clone(),
            });
        }
        self.builds.push(Build {
            id: build_id.clone(),
            checkout_id,
            origin: origin.clone(),
            comment: driver.clone(),
            misc: BTreeMap::from([("target", text(&run.target)), ("driver", driver)]),
        });
        build_id
    }

    /// Says that a deviation that is known was seen.
    fn note(&mut self, origin: &Origin, case: &CaseResult, test_id: &str, reason: &str, source: &str) {
        let issue_id = id(origin, &["issue", &case.id, reason]);
        if self.issues.iter().all(|issue| issue.id != issue_id) {
            self.issues.push(Issue {
                id: issue_id.clone(),
                version: 1,
                origin: origin.clone(),
                report_subject: text(&format!("{}: {reason}", case.id)),
                comment: text(source),
                culprit: Culprit { code: true },
            });
        }
        self.incidents.push(Incident {
            id: id(origin, &["incident", test_id]),
            origin: origin.clone(),
            issue_id,
            issue_version: 1,
            test_id: test_id.to_owned(),
            present: true,
        });
    }
}

/// A name that something else has only if all of this is the same.
fn id(Origin(origin): &Origin, parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0"));
    format!("{origin}:{}", hex::encode(&digest[..16]))
}

/// Where a case is in the tree of all tests: words of letters, digits, hyphens and underscores, with dots between them.
fn path(id: &str) -> String {
    let word = |word: &str| word.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '-'), "_");
    let words = id.split('/').filter(|word| !word.is_empty()).map(word);
    std::iter::once("binderdrill".to_owned()).chain(words).collect::<Vec<String>>().join(".")
}

/// Text as it is taken: without the character 0.
fn text(text: &str) -> String {
    text.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;
    use crate::report::tests::{hostile, of_all_kinds};

    fn kcidb(results: &Results, as_whose: &Submission) -> Value {
        let mut text = Vec::new();
        write_kcidb(&mut text, results, as_whose).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// The objects of a kind, each with no other fields than these. All must have the first `demanded` of them.
    fn objects<'a>(
        message: &'a Value,
        kind: &str,
        demanded: usize,
        fields: &[&str],
    ) -> Vec<&'a Map<String, Value>> {
        let all = message[kind].as_array().map(Vec::as_slice).unwrap_or_default();
        let all: Vec<&Map<String, Value>> = all.iter().map(|one| one.as_object().unwrap()).collect();
        let mut ids = HashSet::new();
        for one in &all {
            let missing = fields[..demanded].iter().find(|field| !one.contains_key(**field));
            let odd = one.keys().find(|field| !fields.contains(&field.as_str()));
            assert_eq!((missing, odd), (None, None), "{kind}: {one:?}");
            let id = one["id"].as_str().unwrap();
            assert!(id.parse::<BuildId>().is_ok() && ids.insert(id), "{id}");
            assert!(is_origin(one["origin"].as_str().unwrap()));
        }
        all
    }

    /// Checks what the schema of version 5.3 demands of the kinds of objects that are written here.
    fn check(message: &Value) {
        for kind in message.as_object().unwrap().keys() {
            let kinds = ["version", "checkouts", "builds", "tests", "issues", "incidents"];
            assert!(kinds.contains(&kind.as_str()), "{kind}");
        }
        assert_eq!(message["version"], serde_json::json!({ "major": 5, "minor": 3 }));
        assert!(!message.to_string().contains("\\u0000"));
        objects(message, "checkouts", 2, &["id", "origin", "comment"]);
        objects(message, "builds", 3, &["id", "origin", "checkout_id", "comment", "misc"]);
        objects(message, "issues", 3, &["id", "origin", "version", "report_subject", "comment", "culprit"]);
        objects(
            message,
            "incidents",
            4,
            &["id", "origin", "issue_id", "issue_version", "test_id", "present"],
        );
        let demanded_and_others = [
            "id",
            "origin",
            "build_id",
            "path",
            "status",
            "comment",
            "start_time",
            "environment",
            "log_excerpt",
            "misc",
        ];
        for test in objects(message, "tests", 3, &demanded_and_others) {
            let of_word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            let words = test["path"].as_str().unwrap().split('.');
            assert!(words.into_iter().all(|word| !word.is_empty() && word.chars().all(of_word)), "{test:?}");
            assert!(["PASS", "FAIL", "SKIP", "ERROR"].contains(&test["status"].as_str().unwrap()));
            let excerpt = test.get("log_excerpt").map_or("", |excerpt| excerpt.as_str().unwrap());
            assert!(excerpt.chars().count() <= LONGEST_EXCERPT);
            assert!(
                test["environment"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .all(|key| ["comment", "misc"].contains(&key.as_str()))
            );
            assert!(test["start_time"].as_str().unwrap().parse::<Timestamp>().is_ok());
        }
    }

    #[test]
    fn what_became_of_cases_is_told_to_kernelci() {
        let message = kcidb(&of_all_kinds(), &Submission::default());
        check(&message);
        insta::assert_json_snapshot!(message);
    }

    #[test]
    fn all_that_is_referred_to_is_there() {
        let message = kcidb(&of_all_kinds(), &Submission::default());
        let all = |kind: &str, field: &str| -> HashSet<String> {
            let all = message[kind].as_array().unwrap().iter();
            all.map(|one| one[field].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(all("builds", "checkout_id"), all("checkouts", "id"));
        assert_eq!(all("tests", "build_id"), all("builds", "id"));
        assert_eq!(all("incidents", "issue_id"), all("issues", "id"));
        assert!(all("incidents", "test_id").is_subset(&all("tests", "id")));
    }

    #[test]
    fn a_build_that_kernelci_knows_is_not_described() {
        let as_whose =
            Submission { origin: "mylab".parse().unwrap(), build: Some("maestro:1".parse().unwrap()) };
        let mut results = of_all_kinds();
        results.runs.truncate(2);
        let message = kcidb(&results, &as_whose);
        check(&message);
        assert!(message.get("builds").is_none() && message.get("checkouts").is_none());
        assert!(message["tests"].as_array().unwrap().iter().all(|test| test["build_id"] == "maestro:1"));
        let refused = write_kcidb(&mut io::sink(), &of_all_kinds(), &as_whose).unwrap_err();
        assert!(matches!(refused, Unsendable::SeveralKernels(_)), "{refused}");
    }

    #[test]
    fn what_is_no_name_or_of_no_kernel_is_refused() {
        for word in ["", "My lab", "a:b"] {
            assert!(word.parse::<Origin>().is_err(), "{word}");
        }
        for word in ["", "1234", ":1", "My:1", "a:\0"] {
            assert!(word.parse::<BuildId>().is_err(), "{word}");
        }
        let mut results = of_all_kinds();
        results.runs.truncate(1);
        let refused = write_kcidb(&mut io::sink(), &results, &Submission::default()).unwrap_err();
        assert!(matches!(refused, Unsendable::NoKernel), "{refused}");
    }

    proptest! {
        #[test]
        fn any_words_are_taken(words in "\\PC{0,8}|[\\x00-\\x7f/.#]{0,8}") {
            check(&kcidb(&hostile(&words), &Submission::default()));
        }
    }
}
