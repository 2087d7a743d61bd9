//! Exporting to C: one file, which needs the C library and `<linux/android/binder.h>`.
//!
//! Each process of the script is one of the program's, and each thread one of its threads. A step is two functions: one
//! that does it, and one that looks at what came. The first process has them done one after the other, and sees from
//! /proc which threads sleep in the driver, as binderdrill does.

mod call;
mod command;
mod expectation;
mod names;
mod payload;
mod pieces;
mod returns;

use std::fmt::Write;

use self::names::Names;
use super::{Line, NotExportable, actor_name, lines};
use crate::engine;
use crate::program::*;
use crate::script::Script;

/// Why a step cannot be exported.
type Refusal = &'static str;

/// Exports a script, which came from there.
pub(super) fn export(script: &Script, origin: &str) -> Result<String, NotExportable> {
    let lines = lines(script)?;
    let program = &script.program;
    let at_start = |reason| NotExportable { line: 1, reason };
    if program.requires.contains(&Feature::CopyCounter) {
        return Err(at_start("only the reference driver counts how often payloads are copied"));
    }
    let chosen = engine::chosen(program)
        .map_err(|_| at_start("the script is wrong: `binderdrill check` tells how"))?;
    let mut names = Names::of(program, &chosen);
    let mut body = Body::default();
    body.set_up(script, &names);
    for line in &lines {
        body.step(line, &mut names).map_err(|reason| NotExportable { line: line.line, reason })?;
    }
    let mut steps = body.functions;
    let _ = write!(steps, "static const struct step steps[STEPS] = {{\n{}}};\n\n", body.table);
    steps.push_str(&main(&names, body.count));
    let head = format!("{}enum {{ STEPS = {} }};\n\n", names.head(&steps), body.count);
    Ok(format!("{}\n{}", title(script, origin), pieces::assemble(&head, &steps)))
}

/// The comment that opens the file.
fn title(script: &Script, origin: &str) -> String {
    let mut text = "/*\n".to_owned();
    for line in &script.program.opening {
        let _ = writeln!(text, "{}", format!(" * {}", in_comment(line)).trim_end());
    }
    if let Some(driver) = script.program.driver {
        let _ = writeln!(
            text,
            " *\n * It is about the driver in {}, and others do something else.",
            driver.title()
        );
    }
    if !script.program.requires.is_empty() {
        let features: Vec<String> = script.program.requires.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, " *\n * It takes a driver with {}.", features.join(", "));
    }
    let _ = write!(
        text,
        " *\n * This is the script {origin}, exported by binderdrill. To compile and run it:\n *\n *     gcc -O2 -pthread \
         -o reproducer reproducer.c\n *     ./reproducer /dev/binder\n *\n * It ends with status 0 if the driver did what the \
         script expects, with 1 if it did not, and with 2 if something else\n * is in the way. The device must be one that \
         nobody manages, such as one of a new binderfs, and users other than\n * root must be able to open it if the script \
         has such. See step_1 and what follows it for what happens.\n */"
    );
    text
}

/// Text that does not end the comment in which it stands.
fn in_comment(text: &str) -> String {
    text.replace("*/", "* /").replace("/*", "/ *")
}

/// A string of C.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Of two in a row compilers make something else.
            '?' => quoted.push_str("\\?"),
            ' '..='~' => quoted.push(character),
            other => {
                let mut bytes = [0; 4];
                other.encode_utf8(&mut bytes).bytes().for_each(|byte| {
                    let _ = write!(quoted, "\\{byte:03o}");
                });
            }
        }
    }
    quoted.push('"');
    quoted
}

/// What an errno is called in C.
fn errno(errno: Errno) -> String {
    let name = errno.to_string();
    if name.starts_with('E') { name } else { errno.0.to_string() }
}

/// The functions of the steps, and the table that lists them.
#[derive(Default)]
struct Body {
    functions: String,
    table: String,
    /// How many steps there are, those of the set-up among them.
    count: usize,
}

/// What is to be put into the table for a step.
struct Entry<'a> {
    actor: &'a str,
    line: usize,
    text: &'a str,
    /// Whether there is a function that does it.
    acts: bool,
    flags: Vec<&'static str>,
    candidates: Option<String>,
}

impl Body {
    /// What processes do before the first step.
    fn set_up(&mut self, script: &Script, names: &Names) {
        let declarations = script.program.declarations.iter().zip(&script.positions.declarations);
        for (noted, position) in declarations {
            let Declaration::Process(process) = &noted.value else { continue };
            let mut actions = Vec::new();
            if !matches!(process.device, DeviceSetUp::Forked | DeviceSetUp::Closed) {
                actions.push(call::open(process.context, process.nonblock));
            }
            if let DeviceSetUp::Mapped(size) = process.device {
                actions.push(format!("map_device(0, {size}, 0, MAP_PRIVATE);"));
            }
            if process.context_manager {
                actions.push(
                    "ioctl_argument.number = 0;\n\tcall_driver(BINDER_SET_CONTEXT_MGR, &ioctl_argument);"
                        .to_owned(),
                );
            }
            let text = script.source[position.bytes.clone()].to_owned();
            for action in actions {
                let number = self.count + 1;
                let _ = write!(
                    self.functions,
                    "/* {} */\nstatic void step_{number}(void)\n{{\n\t{action}\n}}\n\n",
                    in_comment(&text)
                );
                let _ = write!(
                    self.functions,
                    "static bool check_{number}(void)\n{{\n\tsay_error();\n\tEXPECT(error == 0);\n\treturn true;\n}}\n\n"
                );
                self.enter(Entry {
                    actor: &names.thread(&process.name),
                    line: position.line,
                    text: &text,
                    acts: true,
                    flags: Vec::new(),
                    candidates: None,
                });
            }
        }
    }

    fn enter(&mut self, entry: Entry<'_>) {
        self.count += 1;
        let number = self.count;
        let Entry { actor, line, text, acts, flags, candidates } = entry;
        let act = if acts { format!("step_{number}") } else { "NULL".to_owned() };
        let flags = if flags.is_empty() { "0".to_owned() } else { flags.join(" | ") };
        let candidates = candidates.unwrap_or_else(|| "NULL".to_owned());
        let text = quoted(text);
        let _ = writeln!(
            self.table,
            "\t{{ {actor}, {line}, {text},\n\t  {act}, check_{number}, {flags}, {candidates} }},"
        );
    }

    fn step(&mut self, line: &Line<'_>, names: &mut Names) -> Result<(), Refusal> {
        let number = self.count + 1;
        let name = actor_name(&line.step.actor).clone();
        if let Actor::AnyOf { candidates, alias } = &line.step.actor {
            names.add_alias(alias, candidates);
        }
        let mut done = match &line.step.action {
            Action::Call { call, expected } => call::step(call, expected, &name, names)?,
            action => expectation::step(action, number, names)?,
        };
        if let Actor::AnyOf { candidates, .. } = &line.step.actor {
            done.act = None;
            let candidates: Vec<String> = candidates.iter().map(|name| names.thread(name)).collect();
            done.candidates = Some(format!("(const int[]){{ {}, -1 }}", candidates.join(", ")));
        }
        for remark in &line.remarks {
            let _ = writeln!(self.functions, "/* {} */", in_comment(remark));
        }
        let comment = format!("/* {}: {} */", line.line, in_comment(&line.text));
        let Done { act, ways, check, flags, candidates } = done;
        if let Some(act) = &act {
            let _ = write!(self.functions, "{comment}\nstatic void step_{number}(void)\n{{\n{act}}}\n\n");
        }
        for (place, way) in ways.iter().enumerate() {
            let _ = write!(self.functions, "static bool way_{number}_{place}(void)\n{{\n{way}}}\n\n");
        }
        let comment = if act.is_none() { format!("{comment}\n") } else { String::new() };
        let _ = write!(self.functions, "{comment}static bool check_{number}(void)\n{{\n{check}}}\n\n");
        let text = line.text.clone();
        self.enter(Entry {
            actor: &names.thread(&name),
            line: line.line,
            text: &text,
            acts: act.is_some(),
            flags,
            candidates,
        });
        Ok(())
    }
}

/// A step in C.
struct Done {
    /// What it does, if it does anything.
    act: Option<String>,
    /// The ways of which one must fit, where there are several.
    ways: Vec<String>,
    /// Whether what came is what must.
    check: String,
    flags: Vec<&'static str>,
    candidates: Option<String>,
}

/// The function that begins it all.
fn main(names: &Names, count: usize) -> String {
    let mut text = names.table_of_threads();
    text.push_str("int main(int arguments, char **words)\n{\n\tbegin(arguments, words);\n");
    text.push_str(&names.processes());
    let _ = write!(
        text,
        "\tfor (int step = 0; step < STEPS; step++)\n\t\trun(step);\n\tend(&steps[{}]);\n\treturn 0;\n}}\n",
        count - 1
    );
    text
}
