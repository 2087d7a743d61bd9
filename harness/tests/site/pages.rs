//! The pages as files: links, and text of others.

use std::collections::{HashMap, HashSet};
use std::fs;

use super::{before, pages, results, site};
use binderdrill::report::Results;
use binderdrill::report::site::{Report, SiteError, Summary};

/// The values of an attribute.
fn attributes<'p>(page: &'p str, name: &str) -> impl Iterator<Item = &'p str> {
    let start = format!(" {name}=\"");
    let length = start.len();
    page.match_indices(&start).collect::<Vec<_>>().into_iter().filter_map(move |(at, _)| {
        let value = &page[at + length..];
        value.split_once('"').map(|(value, _)| value)
    })
}

/// Where a link of a page leads: a file of the site, and a place in it.
fn resolved(page: &str, link: &str) -> (String, Option<String>) {
    let (file, place) =
        link.split_once('#').map_or((link, None), |(file, place)| (file, Some(place.to_owned())));
    if file.is_empty() {
        return (page.to_owned(), place);
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (parts.join("/"), place)
}

#[test]
fn every_link_leads_somewhere_and_nothing_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    site(results(), folder.path());
    let pages = pages(folder.path());
    assert!(pages.len() > 80, "{}", pages.len());
    let places: HashMap<&str, HashSet<&str>> =
        pages.iter().map(|(name, page)| (name.as_str(), attributes(page, "id").collect())).collect();
    let mut links = 0;
    for (name, page) in &pages {
        assert!(attributes(page, "src").next().is_none(), "{name}");
        let ids: Vec<&str> = attributes(page, "id").collect();
        assert_eq!(ids.len(), ids.iter().collect::<HashSet<_>>().len(), "{name} has an id twice");
        for link in attributes(page, "href").filter(|link| *link != "data:," && !link.starts_with("https://"))
        {
            links += 1;
            let (file, place) = resolved(name, link);
            assert!(folder.path().join(&file).is_file(), "{name} links to {link}, which is not there");
            let has = |place: &str| places.get(file.as_str()).is_some_and(|places| places.contains(place));
            assert!(place.as_deref().is_none_or(has), "{name} links to {link}: no such place");
        }
    }
    assert!(links > 1000, "{links}");
}

#[test]
fn the_overview_says_what_changed_and_leads_there() {
    let folder = tempfile::tempdir().unwrap();
    site(results(), folder.path());
    let overview = fs::read_to_string(folder.path().join("index.html")).unwrap();
    let headline = "Incomplete: vm:./bzImage could not be used; changed: 2 cases worse";
    for (before, after) in [("<h1>", "</h1>"), ("<title>", " · binderdrill</title>")] {
        assert!(overview.contains(&format!("{before}{headline}{after}")), "{overview}");
    }
    assert!(overview.contains("Kernel panic - not syncing"), "why it could not be used");
    let changed = attributes(&overview, "href").find(|link| link.starts_with("deviation/")).unwrap();
    let page = fs::read_to_string(folder.path().join(changed)).unwrap();
    for piece in [
        "Expected",
        "Came",
        "class=\"marked\"",
        "class=\"band\"",
        "<ins>",
        "binderdrill run --target planted",
    ] {
        assert!(page.contains(piece), "{changed} lacks {piece}");
    }
}

#[test]
fn what_fuzzing_found_has_a_page_like_a_case() {
    let folder = tempfile::tempdir().unwrap();
    site(results(), folder.path());
    let overview = fs::read_to_string(folder.path().join("index.html")).unwrap();
    for (kind, command) in
        [("found by fuzzing", "--seed 3000 --programs 1"), ("replayed", "findings/old.drill")]
    {
        let page = pages(folder.path()).into_iter().find(|(name, page)| {
            name.starts_with("deviation/") && page.contains(&format!("<span class=\"tag bad\">{kind}</span>"))
        });
        let (name, page) = page.unwrap_or_else(|| panic!("nothing is {kind}"));
        assert!(attributes(&overview, "href").any(|link| link == name), "the overview leads to {name}");
        let replay = "binderdrill replay nightly/findings/";
        for piece in
            ["reference, as expected", "<ins>", "class=\"band\"", "class=\"marked\"", replay, command]
        {
            assert!(page.contains(piece), "{name} lacks {piece}");
        }
    }
}

#[test]
fn without_changes_the_overview_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let report = Report {
        results: before(),
        notices: Vec::new(),
        since: Some(Summary::of(&before())),
        past: Vec::new(),
    };
    report.write(folder.path()).unwrap();
    let overview = fs::read_to_string(folder.path().join("index.html")).unwrap();
    // What is as bad as it was is not to be taken for good.
    let headline = "<h1>Nothing has changed: still 2 deviations to look at</h1>";
    assert!(overview.contains(headline), "{overview}");
}

/// What would do something if it were not taken for text.
const HOSTILE: &str =
    "</title></code></pre>\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 }}&lt;\u{202e}";

/// Puts something hostile into every text of results that others have a hand in.
fn hostile(results: &Results) -> Results {
    fn spoil(value: &mut serde_json::Value, key: &str) {
        match value {
            serde_json::Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| spoil(value, key)),
            serde_json::Value::Array(all) => all.iter_mut().for_each(|value| spoil(value, key)),
            serde_json::Value::String(text) => {
                let fixed = ["kind", "digest", "started", "profile", "driver"];
                if !fixed.contains(&key) && !text.is_empty() {
                    text.push_str(HOSTILE);
                }
            }
            _ => {}
        }
    }
    let mut value = serde_json::to_value(results).unwrap();
    spoil(&mut value, "");
    for run in value["runs"].as_array_mut().unwrap() {
        for case in run["cases"].as_array_mut().unwrap() {
            case["transcript"]["complaints"] = serde_json::json!([format!("BUG: {HOSTILE}")]);
        }
    }
    serde_json::from_value(value).unwrap()
}

#[test]
fn what_others_wrote_is_text() {
    let folder = tempfile::tempdir().unwrap();
    let results = hostile(&results());
    let report = Report { results, notices: vec![HOSTILE.to_owned()], since: None, past: Vec::new() };
    report.write(folder.path()).unwrap();
    let pages = pages(folder.path());
    assert!(pages.iter().any(|(name, _)| name.starts_with("case/other/")), "hostile names are no paths");
    assert!(pages.iter().any(|(name, _)| name.starts_with("deviation/")));
    let mut shown = 0;
    for (name, page) in &pages {
        let scripts = usize::from(name == "matrix.html");
        assert_eq!(page.matches("<script").count(), scripts, "{name}");
        assert!(!page.contains("<img"), "{name}");
        assert!(!page.contains('\u{202e}'), "{name} is turned around");
        assert_eq!(page.matches("</title>").count(), 1, "{name}");
        shown += page.matches("alert(1)").count();
    }
    assert!(shown > 500, "{shown}");
}

#[test]
fn other_things_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let report = Report { results: before(), notices: Vec::new(), since: None, past: Vec::new() };
    assert!(matches!(report.write(folder.path()), Err(SiteError::Occupied(_))));
}
