//! The site in a browser: somebody clicks through it, in light and dark, on a screen and on a phone. Where there is no
//! Chromium, this is not run; `BINDERDRILL_SCREENSHOTS` names a folder for pictures of the pages.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use headless_chrome::browser::tab::Tab;
use headless_chrome::protocol::cdp::Emulation::{MediaFeature, SetDeviceMetricsOverride, SetEmulatedMedia};
use headless_chrome::protocol::cdp::Page::CaptureScreenshotFormatOption;
use headless_chrome::protocol::cdp::types::Event;
use headless_chrome::{Browser, LaunchOptions};

use super::{results, site};

fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| which::which(name).ok())
}

fn browser(path: PathBuf) -> Browser {
    let options = LaunchOptions {
        path: Some(path),
        sandbox: false,
        args: vec![OsStr::new("--disable-dev-shm-usage"), OsStr::new("--hide-scrollbars")],
        idle_browser_timeout: std::time::Duration::from_secs(120),
        ..LaunchOptions::default()
    };
    Browser::new(options).unwrap()
}

/// A page that is looked at, and what it has complained of.
struct View {
    tab: Arc<Tab>,
    folder: PathBuf,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl View {
    fn new(browser: &Browser, folder: &Path) -> View {
        let tab = browser.new_tab().unwrap();
        tab.enable_log().unwrap();
        tab.enable_runtime().unwrap();
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&complaints);
        let listen = move |event: &Event| {
            let complaint = match event {
                Event::LogEntryAdded(event) => format!("{:?}", event.params.entry),
                Event::RuntimeExceptionThrown(event) => format!("{:?}", event.params.exception_details),
                Event::RuntimeConsoleAPICalled(event) => format!("{:?}", event.params),
                _ => return,
            };
            heard.lock().unwrap().push(complaint);
        };
        tab.add_event_listener(Arc::new(listen)).unwrap();
        View { tab, folder: folder.to_owned(), complaints }
    }

    fn look(&self, scheme: &str, width: u32) {
        let feature = MediaFeature { name: "prefers-color-scheme".to_owned(), value: scheme.to_owned() };
        let media = SetEmulatedMedia { media: None, features: Some(vec![feature]) };
        self.tab.call_method(media).unwrap();
        let metrics = SetDeviceMetricsOverride {
            width,
            height: 900,
            device_scale_factor: 1.0,
            mobile: width < 600,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        };
        self.tab.call_method(metrics).unwrap();
    }

    fn open(&self, page: &str) {
        let url = format!("file://{}", self.folder.join(page).display());
        self.tab.navigate_to(&url).unwrap().wait_until_navigated().unwrap();
    }

    /// What a piece of script says in this page.
    fn ask(&self, script: &str) -> serde_json::Value {
        self.tab.evaluate(script, false).unwrap().value.unwrap_or_default()
    }

    /// Clicks on a link, and waits for something of the page that it leads to.
    fn click(&self, selector: &str, awaited: &str) {
        self.tab.wait_for_element(selector).unwrap().click().unwrap();
        self.tab.wait_for_element(awaited).unwrap();
        self.tab.wait_until_navigated().unwrap();
    }

    /// Nothing sticks out of the page, and nothing has been complained of.
    fn is_sound(&self, what: &str) {
        let width = self.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(width, 0, "{what} is wider than its window");
        let complaints = self.complaints.lock().unwrap();
        assert!(complaints.is_empty(), "{what}: {complaints:?}");
    }

    fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("BINDERDRILL_SCREENSHOTS") else { return };
        fs::create_dir_all(&folder).unwrap();
        let picture =
            self.tab.capture_screenshot(CaptureScreenshotFormatOption::Png, None, None, true).unwrap();
        fs::write(Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
    }
}

#[test]
fn somebody_clicks_through_the_site() {
    let Some(path) = chromium() else {
        eprintln!("there is no Chromium here, so no browser has seen the site");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    site(results(), folder.path());
    let browser = browser(path);
    let view = View::new(&browser, folder.path());
    for (scheme, width) in [("light", 1200), ("dark", 1200), ("light", 390), ("dark", 390)] {
        let named = |page: &str| format!("{page}-{scheme}-{width}");
        view.look(scheme, width);
        view.open("index.html");
        view.is_sound(&named("overview"));
        view.picture(&named("overview"));
        let background = view.ask("getComputedStyle(document.body).backgroundColor");
        assert_eq!(background == "rgb(255, 255, 255)", scheme == "light", "{background}");

        view.click("nav a[href$='matrix.html']", "#matrix tbody:last-of-type");
        let shown =
            "[...document.querySelectorAll('#matrix tr[data-is]')].filter(row => row.offsetParent).length";
        let all = view.ask(shown).as_u64().unwrap();
        assert!(all > 300, "{all}");
        view.is_sound(&named("matrix"));
        view.picture(&named("matrix"));
        view.ask("const select = document.querySelector('select'); select.value = 'deviates'; select.dispatchEvent(new Event('input', { bubbles: true }))");
        let few = view.ask(shown).as_u64().unwrap();
        assert!(few > 0 && few < 20, "{few} of {all}");
        view.tab.find_element("input[type=search]").unwrap().click().unwrap();
        view.tab.type_str("no such words").unwrap();
        assert_eq!(view.ask(shown), 0);
        assert_eq!(view.ask("document.getElementById('shown').textContent"), "0 clauses");

        view.open("index.html");
        view.click("section[aria-labelledby=changed] tbody a", "svg.seq");
        assert_eq!(view.ask("document.querySelectorAll('.script .marked').length"), 1);
        assert_eq!(view.ask("document.querySelectorAll('svg.seq rect.band').length"), 1);
        assert!(view.ask("document.querySelectorAll('ins').length").as_u64().unwrap() > 0);
        view.is_sound(&named("deviation"));
        view.picture(&named("deviation"));

        view.open("index.html");
        view.click("section[aria-labelledby=news] a[href*='/other/']", "svg.seq");
        assert!(view.ask("document.querySelectorAll('ins').length").as_u64().unwrap() > 0);
        view.is_sound(&named("fuzz"));
        view.picture(&named("fuzz"));

        view.open("case/scenarios/death-in-every-stage.html");
        view.is_sound(&named("case"));
        view.picture(&named("case"));
        for page in ["clauses.html", "clauses/spam.html", "clauses/enc.html", "cases.html", "coverage.html"] {
            view.open(page);
            view.is_sound(&named(page));
            view.picture(&named(&page.replace('/', "-")));
        }
    }
    without_script(&view);
}

/// Without script, all clauses are there, and there is no filter that would do nothing.
fn without_script(view: &View) {
    use headless_chrome::protocol::cdp::Emulation::SetScriptExecutionDisabled;
    view.tab.call_method(SetScriptExecutionDisabled { value: true }).unwrap();
    view.open("matrix.html");
    assert_eq!(view.ask("document.getElementById('filter').hidden"), true);
    assert!(
        view.ask("document.querySelectorAll('#matrix tr[data-is]:not([hidden])').length").as_u64().unwrap()
            > 300
    );
}
