//! Layout: where the pieces of a diagram stand. It draws nothing, and knows nothing of SVG but the form of a path's data.
//!
//! The driver stands in the middle. The threads of the process that is declared first, mostly the server, are on its right,
//! next to it; the last ones are on its left. All lengths are pixels.

use super::Diagram;

/// How far the next lane is from the driver, which is the room for labels.
const REACH: usize = 290;
/// How wide the driver is.
const DRIVER: usize = 64;
/// How far lanes on one side are from each other, at least.
const LANES_APART: usize = 84;
/// Room for the numbers of lines.
const GUTTER: usize = 36;
/// Room beside the outermost lanes.
const MARGIN: usize = 52;
/// The height of a label.
const LINE: usize = 15;
/// Room between rows.
const ROWS_APART: usize = 10;
/// Where the first row begins.
const HEADER: usize = 50;
/// The width of a letter of the labels, in hundredths of a pixel: 11 pixels of a monospaced font.
const LETTER: usize = 664;
/// The most lines of one label.
const MOST_LINES: usize = 3;

/// Where the pieces of a diagram stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// How wide it is.
    pub width: usize,
    /// How high.
    pub height: usize,
    /// Where the driver begins.
    pub driver: usize,
    /// How wide that is.
    pub driver_width: usize,
    /// What stands out.
    pub bands: Vec<Band>,
    /// The lifelines, as the data of a path.
    pub lifelines: String,
    /// When threads wait, as well.
    pub waits: String,
    /// The arrows that nothing is special about.
    pub arrows: String,
    /// Those that bring errors.
    pub errors: String,
    /// That which should have come.
    pub ghosts: String,
    /// Who is woken.
    pub wakings: String,
    /// Texts.
    pub labels: Vec<Label>,
    /// The lines of the script, by their height.
    pub lines: Vec<(usize, usize)>,
}

/// Rows that stand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// Where it begins.
    pub y: usize,
    /// How high it is.
    pub height: usize,
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where it is anchored.
    pub x: usize,
    /// Its base line.
    pub y: usize,
    /// Which end of it that is.
    pub anchor: Anchor,
    /// What kind of text it is.
    pub tone: Tone,
    /// It.
    pub text: String,
}

/// Which end of a text is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The first.
    Start,
    /// The middle.
    Middle,
    /// The last.
    End,
}

/// What kind of text something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The name of a thread.
    Name,
    /// What is said.
    Plain,
    /// What is said besides.
    Aside,
    /// What is an error.
    Error,
    /// What should have come.
    Ghost,
    /// What should not have come.
    Departure,
}

impl Diagram {
    /// Where its pieces stand.
    pub fn layout(&self) -> Layout {
        let places = Places::of(self);
        let mut pen = Pen { places, layout: Layout::default(), y: HEADER, spans: Vec::new() };
        for row in 0..self.rows.len() {
            pen.row(self, row);
        }
        if let Some(ending) = &self.ending {
            pen.ending(ending);
        }
        pen.finish(self)
    }
}

impl Label {
    /// The attribute that says what it looks like; the usual label has none.
    pub fn class(&self) -> &'static str {
        match (self.anchor, self.tone) {
            (Anchor::Start, Tone::Plain) => "",
            (Anchor::End, Tone::Plain) => " class=\"e\"",
            (Anchor::Middle, Tone::Name) => " class=\"m nm\"",
            (Anchor::Middle, Tone::Departure) => " class=\"m dp\"",
            (Anchor::Middle, _) => " class=\"m as\"",
            (Anchor::Start, Tone::Error) => " class=\"er\"",
            (Anchor::End, Tone::Error) => " class=\"e er\"",
            (Anchor::Start, Tone::Ghost) => " class=\"gh\"",
            (Anchor::End, Tone::Ghost) => " class=\"e gh\"",
            (Anchor::Start, Tone::Departure) => " class=\"dp\"",
            (Anchor::End, Tone::Departure) => " class=\"e dp\"",
            (Anchor::Start, _) => " class=\"as\"",
            (Anchor::End, _) => " class=\"e as\"",
        }
    }
}

/// Where lanes stand.
struct Places {
    lanes: Vec<usize>,
    driver: usize,
    width: usize,
}

impl Places {
    fn of(diagram: &Diagram) -> Places {
        let names = diagram.lanes.iter().flat_map(|lane| [Some(&lane.thread), lane.process.as_ref()]);
        let longest = names.flatten().map(|name| name.chars().count()).max().unwrap_or(0).min(24);
        let apart = LANES_APART.max(longest * LETTER / 100 + 24);
        let margin = MARGIN.max(longest * LETTER / 200 + 8);
        let right = diagram.lanes.len().div_ceil(2);
        let left = diagram.lanes.len() - right;
        let driver = match left {
            0 => GUTTER + 8,
            _ => GUTTER + margin + (left - 1) * apart + REACH,
        };
        let lane = |place: usize| match place.checked_sub(right) {
            None => driver + DRIVER + REACH + place * apart,
            Some(place) => driver - REACH - place * apart,
        };
        let lanes: Vec<usize> = (0..diagram.lanes.len()).map(lane).collect();
        let width = driver + DRIVER + REACH + right.saturating_sub(1) * apart + margin;
        Places { lanes, driver, width }
    }

    /// Where an arrow of a lane begins and ends, the lane first.
    fn ends(&self, lane: usize) -> (usize, usize) {
        let lane = self.lanes.get(lane).copied().unwrap_or(0);
        (lane, if lane < self.driver { self.driver } else { self.driver + DRIVER })
    }
}

/// What has been laid out so far.
struct Pen {
    places: Places,
    layout: Layout,
    y: usize,
    /// Where each row begins and ends.
    spans: Vec<(usize, usize)>,
}

impl Pen {
    fn row(&mut self, diagram: &Diagram, place: usize) {
        let row = &diagram.rows[place];
        let start = self.y;
        let (lane, driver) = self.places.ends(row.lane);
        if let Some(line) = row.line {
            self.layout.lines.push((start + 12, line));
        }
        if !row.told.is_empty() {
            self.labels(&row.told, lane, driver, Tone::Plain);
            let y = self.y;
            arrow(&mut self.layout.arrows, lane, driver, y);
            self.y += 6;
        }
        if row.departs {
            let expected: Vec<String> = row.expected.iter().map(|word| format!("expected: {word}")).collect();
            self.labels(&expected, driver, lane, Tone::Ghost);
            let y = self.y;
            arrow(&mut self.layout.ghosts, driver, lane, y);
            self.y += 6;
        }
        let tone = match (row.departs, row.failed) {
            (true, _) => Tone::Departure,
            (false, true) => Tone::Error,
            (false, false) => Tone::Plain,
        };
        if !row.came.is_empty() {
            self.labels(&row.came, driver, lane, tone);
            let y = self.y;
            let path = match tone {
                Tone::Plain => &mut self.layout.arrows,
                _ => &mut self.layout.errors,
            };
            arrow(path, driver, lane, y);
            self.y += 6;
        }
        if row.parked {
            let word = if row.departs { "came: parked, it waits" } else { "waits" };
            self.labels(&[word.to_owned()], lane, driver, if row.departs { tone } else { Tone::Aside });
        }
        if !row.woke.is_empty() {
            self.y += 8;
            for woken in &row.woke {
                let (lane, driver) = self.places.ends(*woken);
                let y = self.y;
                self.layout.wakings.push_str(&format!("M{driver} {y}H{lane}"));
                self.label(driver, y, lane, Tone::Aside, format!("wakes {}", diagram.lanes[*woken].thread));
                self.y += 4;
            }
        }
        self.y = self.y.max(start + LINE);
        if row.departs {
            self.layout.bands.push(Band { y: start - 4, height: self.y + 8 - start });
        }
        self.spans.push((start, self.y));
        self.y += ROWS_APART;
    }

    fn ending(&mut self, ending: &str) {
        let start = self.y;
        self.y += LINE;
        let text = format!("once every process was gone: {ending}");
        let middle = self.places.width / 2;
        let most = (self.places.width * 100 / LETTER).saturating_sub(8);
        for line in wrapped(&text, most) {
            let y = self.y;
            let label = Label { x: middle, y, anchor: Anchor::Middle, tone: Tone::Departure, text: line };
            self.layout.labels.push(label);
            self.y += LINE;
        }
        self.layout.bands.push(Band { y: start - 4, height: self.y - start });
    }

    /// Labels one below the other, at the end `from` of an arrow, above it.
    fn labels(&mut self, texts: &[String], from: usize, to: usize, tone: Tone) {
        let most = (from.abs_diff(to) - 14) * 100 / LETTER;
        for line in texts.iter().flat_map(|text| wrapped(text, most)) {
            self.y += LINE;
            self.label(from, self.y - 4, to, tone, line);
        }
        self.y += 1;
    }

    fn label(&mut self, from: usize, y: usize, to: usize, tone: Tone, text: String) {
        let (x, anchor) = if from < to { (from + 8, Anchor::Start) } else { (from - 8, Anchor::End) };
        self.layout.labels.push(Label { x, y, anchor, tone, text });
    }

    fn finish(self, diagram: &Diagram) -> Layout {
        let Pen { places, mut layout, mut y, spans } = self;
        if diagram.waits.iter().any(|wait| wait.to.is_none()) {
            y += LINE;
        }
        layout.width = places.width;
        layout.height = y + 4;
        layout.driver = places.driver;
        layout.driver_width = DRIVER;
        for (lane, x) in diagram.lanes.iter().zip(&places.lanes) {
            let label = |y, tone, text: &str| Label {
                x: *x,
                y,
                anchor: Anchor::Middle,
                tone,
                text: shortened(text, 24),
            };
            layout.labels.push(label(20, Tone::Name, &lane.thread));
            if let Some(process) = &lane.process {
                layout.labels.push(label(34, Tone::Aside, &format!("of {process}")));
            }
            layout.lifelines.push_str(&format!("M{x} {}V{y}", HEADER - 10));
        }
        for wait in &diagram.waits {
            let x = places.lanes.get(wait.lane).copied().unwrap_or(0);
            let from = spans.get(wait.from).map_or(0, |span| span.1);
            let to = wait.to.and_then(|row| spans.get(row)).map_or(y, |span| span.1);
            layout.waits.push_str(&format!("M{x} {from}V{}", to.max(from + 4)));
        }
        layout
    }
}

/// Adds an arrow to a path.
fn arrow(path: &mut String, from: usize, to: usize, y: usize) {
    let back = if from < to { '-' } else { ' ' };
    path.push_str(&format!("M{from} {y}H{to}m{back}6-4L{to} {y}l{back}6 4"));
}

/// A text on several lines that are no longer than so many letters; what does not fit on the last of them is left out.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let most = most.max(8);
    let mut lines: Vec<String> = Vec::new();
    let mut rest: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    while rest.chars().count() > most && lines.len() + 1 < MOST_LINES {
        let head: String = rest.chars().take(most).collect();
        let end = head.rfind(", ").map(|at| at + 1).or_else(|| head.rfind(' ')).filter(|at| *at > most / 3);
        let end = end.unwrap_or(head.len());
        let tail = rest[end..].trim_start().to_owned();
        rest.truncate(end);
        lines.push(rest.trim_end().to_owned());
        rest = format!("  {tail}");
    }
    lines.push(shortened(&rest, most));
    lines
}

/// A text of at most so many letters, the last of which tells that some were left out.
fn shortened(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Lane, Row, Wait};
    use super::*;

    fn diagram(threads: &[&str], rows: Vec<Row>) -> Diagram {
        let lane = |thread: &&str| Lane { thread: (*thread).to_owned(), process: None };
        Diagram { lanes: threads.iter().map(lane).collect(), rows, waits: Vec::new(), ending: None }
    }

    fn tells(lane: usize, word: &str) -> Row {
        Row { lane, told: vec![word.to_owned()], ..Row::default() }
    }

    #[test]
    fn the_driver_stands_in_the_middle_and_lanes_do_not_touch() {
        for threads in 0..9 {
            let names: Vec<String> = (0..threads).map(|number| format!("thread-{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let places = Places::of(&diagram(&names, Vec::new()));
            let mut all = places.lanes.clone();
            all.push(places.driver);
            all.sort_unstable();
            assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= LANES_APART), "{all:?}");
            let left = places.lanes.iter().filter(|x| **x < places.driver).count();
            assert_eq!(left, threads / 2);
            assert!(places.lanes.iter().all(|x| *x > GUTTER && *x < places.width));
        }
    }

    #[test]
    fn rows_follow_each_other_and_labels_stay_within() {
        let long = "BC_TRANSACTION { handle 0, code 7, data [ u32 42, str16 \"a very long name\", u64 8 ], flags 0xff }";
        let rows = vec![tells(0, long), tells(1, "BC_REPLY"), tells(1, &"x".repeat(900))];
        let layout = diagram(&["server", "client"], rows).layout();
        for label in &layout.labels {
            let width = label.text.chars().count() * LETTER / 100;
            let (from, to) = match label.anchor {
                Anchor::Start => (label.x, label.x + width),
                Anchor::Middle => (label.x - width / 2, label.x + width / 2),
                Anchor::End => (label.x.checked_sub(width).expect("within"), label.x),
            };
            assert!(from > 0 && to <= layout.width, "{label:?}");
            assert!(label.y < layout.height, "{label:?}");
        }
        assert_eq!(layout.arrows.matches('M').count(), 3);
    }

    #[test]
    fn the_departure_is_a_band_with_what_should_have_come() {
        let row = Row {
            departs: true,
            expected: vec!["BR_REPLY".to_owned()],
            came: vec!["BR_DEAD_REPLY".to_owned()],
            ..Row::default()
        };
        let layout = diagram(&["client"], vec![tells(0, "BC_TRANSACTION"), row]).layout();
        assert_eq!(layout.bands.len(), 1);
        let tones = |tone| layout.labels.iter().filter(|label| label.tone == tone).count();
        assert_eq!((tones(Tone::Ghost), tones(Tone::Departure)), (1, 1));
        assert!(!layout.ghosts.is_empty() && !layout.errors.is_empty());
    }

    #[test]
    fn a_thread_that_is_never_woken_waits_to_the_end() {
        let mut waiting =
            diagram(&["client"], vec![Row { parked: true, ..Row::default() }, tells(0, "BC_REPLY")]);
        waiting.waits = vec![Wait { lane: 0, from: 0, to: None }];
        let layout = waiting.layout();
        assert!(layout.waits.ends_with(&format!("V{}", layout.height - 4)), "{}", layout.waits);
    }

    #[test]
    fn long_texts_are_wrapped_where_they_may_be() {
        assert_eq!(wrapped("one, two, three", 10), ["one, two,", "  three"]);
        assert_eq!(wrapped("short", 10), ["short"]);
        let many = wrapped(&"word ".repeat(40), 12);
        assert_eq!(many.len(), MOST_LINES);
        assert!(many.iter().all(|line| line.chars().count() <= 12) && many[2].ends_with('…'), "{many:?}");
        assert_eq!(wrapped("äöüäöüäöüäöü", 8).concat().matches('ä').count(), 4);
    }
}
