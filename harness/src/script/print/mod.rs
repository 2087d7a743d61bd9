//! Printing: the one canonical script of a program.

mod binderfs;
mod call;
mod command;
pub(crate) mod fragment;
mod ioctl;
mod layout;
mod lists;
mod operand;
mod payload;
mod returns;
mod step;

use crate::program::{
    Actor, CommentLine, Context, Declaration, DeviceSetUp, Moment, Noted, Process, Program, Race, Step,
};
use layout::Statement;
use lists::separated;

/// The canonical script of a program. [`super::parse`] reads it back as the same program, if it is a valid one.
pub fn print(program: &Program) -> String {
    let mut text = String::new();
    for line in &program.opening {
        comment(&mut text, line);
    }
    header(&mut text, program);

    if !program.declarations.is_empty() {
        blank(&mut text);
    }
    let mut statement = Statement::default();
    for noted in &program.declarations {
        comment_lines(&mut text, &noted.before);
        match &noted.value {
            Declaration::Process(declared) => process(&mut statement, declared),
            Declaration::Thread { name, process } => {
                statement.put_formatted(format_args!("thread {name} of {process}"));
            }
        }
        statement.write_lines(&mut text, 4);
        end_line(&mut text, noted);
    }

    if !program.steps.is_empty() {
        blank(&mut text);
    }
    let steps = program.steps.iter().flat_map(|noted| noted.value.steps());
    let width = steps.map(width_of_actor).max().unwrap_or(0);
    for noted in &program.steps {
        comment_lines(&mut text, &noted.before);
        match &noted.value {
            Moment::Step(step) => {
                step::step(&mut statement, step, width);
                statement.write_lines(&mut text, width + 4);
            }
            Moment::Race(race) => lines_of_race(&mut text, race, width),
        }
        end_line(&mut text, noted);
    }
    comment_lines(&mut text, &program.closing);
    text
}

fn width_of_actor(step: &Step) -> usize {
    match &step.actor {
        Actor::Thread(name) => name.as_str().len(),
        Actor::AnyOf { .. } => 0,
    }
}

/// A race has a line for each step, two columns further in than others.
fn lines_of_race(text: &mut String, race: &Race, width: usize) {
    let seed = if race.seed == 0 { String::new() } else { format!("seed {} ", race.seed) };
    text.push_str(&format!("race {} times {seed}{{\n", race.times));
    for (index, step) in race.steps.iter().enumerate() {
        let mut statement = Statement::default();
        statement.put(if index == 0 { "  " } else { "| " });
        step::step(&mut statement, step, width);
        statement.write_lines(text, width + 6);
        text.push('\n');
    }
    text.push('}');
}

fn header(text: &mut String, program: &Program) {
    let mut put = |keyword: &str, items: Vec<String>| {
        if items.is_empty() {
            return;
        }
        let mut statement = Statement::default();
        statement.put(keyword);
        statement.put(" ");
        separated(&mut statement, ",", &items, |statement, item| statement.put(item));
        statement.write_lines(text, 4);
        text.push('\n');
    };
    let clauses = program.clauses.iter().map(|clause| format!("{}.{}", clause.topic, clause.number));
    put("clause:", clauses.collect());
    put("driver:", program.driver.iter().map(ToString::to_string).collect());
    put("requires", program.requires.iter().map(ToString::to_string).collect());
    put("without", program.without.iter().map(ToString::to_string).collect());
    // A reason is a line of its own, whatever its length.
    if let Some(reason) = &program.unconfirmed {
        text.push_str(&format!("unconfirmed: {}\n", one_line(reason)));
    }
}

fn process(statement: &mut Statement, process: &Process) {
    statement.put_formatted(format_args!("process {}", process.name));
    if process.context != Context::default() {
        statement.put_formatted(format_args!(" on {}", process.context));
    }
    if process.context_manager {
        statement.put(" context-manager");
    }
    if let Some(uid) = process.uid {
        statement.put_formatted(format_args!(" uid {uid}"));
    }
    if process.nonblock {
        statement.put(" nonblock");
    }
    match process.device {
        DeviceSetUp::Forked => statement.put(" forked"),
        DeviceSetUp::Closed => statement.put(" closed"),
        DeviceSetUp::Opened => statement.put(" unmapped"),
        DeviceSetUp::Mapped(DeviceSetUp::DEFAULT_MAPPING) => {}
        DeviceSetUp::Mapped(size) => {
            statement.put(" mmap ");
            operand::rounded_size(statement, size);
        }
    }
}

/// The end of a statement's last line, with the comment there.
fn end_line<T>(text: &mut String, noted: &Noted<T>) {
    if let Some(after) = &noted.after {
        text.push_str("  ");
        comment(text, after);
    } else {
        text.push('\n');
    }
}

fn comment_lines(text: &mut String, lines: &[CommentLine]) {
    for line in lines {
        match line {
            CommentLine::Blank => blank(text),
            CommentLine::Text(line) => comment(text, line),
        }
    }
}

fn comment(text: &mut String, line: &str) {
    text.push_str(format!("# {}", one_line(line)).trim_end());
    text.push('\n');
}

/// An empty line, unless there is one already or nothing before it.
fn blank(text: &mut String) {
    if !text.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
}

/// Text that must not go on in the next line, nor act on a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}
