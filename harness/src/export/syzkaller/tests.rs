//! Programs for syzkaller are read back here by its syntax (docs/program_syntax.md there), and held against what its
//! descriptions say of binder (sys/linux/dev_binder.txt): the fields of each structure, their constants and sizes.

use std::collections::BTreeSet;

use super::{MEMORY, MEMORY_END};
use crate::export::{Language, export};
use crate::suite;

/// An argument, as it is written.
#[derive(Debug)]
enum Argument {
    Number(u64),
    Resource(u64),
    /// A number, under which a later call finds what this one has made of it.
    Made(u64),
    Nil,
    Pointer {
        address: u64,
        region: Option<u64>,
        pointee: Option<Box<Argument>>,
    },
    Text {
        length: u64,
    },
    Structure(Vec<Argument>),
    Array(Vec<Argument>),
    Union(String, Box<Argument>),
}

/// What is left to read of a line.
struct Reader<'t>(&'t str);

type Wrong = String;

impl<'t> Reader<'t> {
    fn takes(&mut self, word: &str) -> bool {
        let rest = self.0.strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn must(&mut self, word: &str) -> Result<(), Wrong> {
        if self.takes(word) { Ok(()) } else { Err(format!("{word:?} is missing before {:?}", self.0)) }
    }

    fn word(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let end = self.0.find(|letter| !is_part(letter)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    fn hexadecimal(&mut self) -> Result<u64, Wrong> {
        self.must("0x")?;
        let digits = self.word(|letter| letter.is_ascii_hexdigit());
        u64::from_str_radix(digits, 16).map_err(|error| format!("{digits:?}: {error}"))
    }

    fn decimal(&mut self) -> Result<u64, Wrong> {
        let digits = self.word(|letter| letter.is_ascii_digit());
        digits.parse().map_err(|error| format!("{digits:?}: {error}"))
    }

    fn list(&mut self, end: &str) -> Result<Vec<Argument>, Wrong> {
        let mut list = Vec::new();
        while !self.takes(end) {
            if !list.is_empty() {
                self.must(", ")?;
            }
            list.push(self.argument()?);
        }
        Ok(list)
    }

    fn argument(&mut self) -> Result<Argument, Wrong> {
        if self.takes("nil") {
            return Ok(Argument::Nil);
        }
        if self.takes("&(") {
            let address = self.hexadecimal()?;
            let region = if self.takes("/") { Some(self.hexadecimal()?) } else { None };
            self.must(")")?;
            let pointee = if self.takes("=") { Some(Box::new(self.argument()?)) } else { None };
            return Ok(Argument::Pointer { address, region, pointee });
        }
        if self.takes("<r") {
            let made = self.decimal()?;
            self.must("=>")?;
            self.argument()?;
            return Ok(Argument::Made(made));
        }
        if self.takes("r") {
            return Ok(Argument::Resource(self.decimal()?));
        }
        if self.takes("{") {
            return Ok(Argument::Structure(self.list("}")?));
        }
        if self.takes("[") {
            return Ok(Argument::Array(self.list("]")?));
        }
        if self.takes("@") {
            let field = self.word(|letter| letter.is_ascii_alphanumeric() || letter == '_').to_owned();
            self.must("=")?;
            return Ok(Argument::Union(field, Box::new(self.argument()?)));
        }
        for quote in ["'", "\""] {
            if self.takes(quote) {
                let text = self.word(|letter| !quote.starts_with(letter));
                self.must(quote)?;
                let escapes = text.matches("\\x").count();
                let said = if quote == "'" { text.len() - 3 * escapes } else { text.len() / 2 };
                let length = if self.takes("/") { self.decimal()? } else { said as u64 };
                return Ok(Argument::Text { length });
            }
        }
        self.hexadecimal().map(Argument::Number)
    }
}

/// The fields of a structure, or the arguments of a call: a number of so many bytes (`4`, `8`), which may have to be a
/// constant (`4=c`, hexadecimal), the size of what another field points to (`8#1`), a resource (`8r`), a pointer (`*name`),
/// and else a structure, a union or an array by its name.
fn fields(of: &str) -> Option<&'static str> {
    Some(match of {
        "openat" => "8=ffffffffffffff9c *text 8 8=0",
        "mmap" => "vma 8 8=1 8=1 8r 8=0",
        "munmap" => "vma 8",
        "close" | "dup" => "8r",
        "memfd_create" => "*text 8",
        "pipe" => "*two_descriptors",
        "two_descriptors" => "4r 4r",
        "poll" => "*polled 8 8",
        "polled_one" => "4r 2 2=0",
        "ioctl$BINDER_SET_CONTEXT_MGR" => "8r 8=40046207 8=0",
        "ioctl$BINDER_THREAD_EXIT" => "8r 8=40046208 8=0",
        "ioctl$BINDER_SET_MAX_THREADS" => "8r 8=40046205 *number",
        "ioctl$BINDER_ENABLE_ONEWAY_SPAM_DETECTION" => "8r 8=40046210 *number",
        "ioctl$BINDER_SET_CONTEXT_MGR_EXT" => "8r 8=4018620d *object_binder",
        "ioctl$BINDER_VERSION" => "8r 8=c0046209 *version",
        "ioctl$BINDER_GET_EXTENDED_ERROR" => "8r 8=c00c6211 *extended_error",
        "ioctl$BINDER_GET_NODE_DEBUG_INFO" => "8r 8=c018620b *node_debug_info",
        "ioctl$BINDER_GET_NODE_INFO_FOR_REF" => "8r 8=c018620c *node_info_for_ref",
        "ioctl$BINDER_WRITE_READ" => "8r 8=c0306201 *write_read",
        "version" => "4=0",
        "extended_error" => "4 4 4",
        "node_debug_info" => "8 8=0 4=0 4=0",
        "node_info_for_ref" => "4 4=0 4=0 4=0 4=0 4=0",
        "write_read" => "8#2 8=0 *commands 8#5 8=0 *text",
        "commands_transaction" => "4=40406300 transaction",
        "commands_reply" => "4=40406301 transaction",
        "commands_transaction_sg" => "4=40486311 transaction 8",
        "commands_reply_sg" => "4=40486312 transaction 8",
        "commands_free_buffer" => "4=40086303 8r",
        "commands_increfs" => "4=40046304 4",
        "commands_acquire" => "4=40046305 4",
        "commands_release" => "4=40046306 4",
        "commands_decrefs" => "4=40046307 4",
        "commands_increfs_done" => "4=40106308 8 8=0",
        "commands_acquire_done" => "4=40106309 8 8=0",
        "commands_register_looper" => "4=630b",
        "commands_enter_looper" => "4=630c",
        "commands_exit_looper" => "4=630d",
        "commands_request_death" => "4=400c630e 4 8=0",
        "commands_clear_death" => "4=400c630f 4 8=0",
        "commands_dead_binder_done" => "4=40086310 8=0",
        "transaction" => "4 4=0 8=0 4=0 4 4=0 4=0 8#9 8#10 *objects *offsets",
        "objects" => "object object object",
        "offsets" => "8 8 8",
        "object_binder" => "4=73622a85 4 8 8=0",
        "object_weak_binder" => "4=77622a85 4 8 8=0",
        "object_handle" => "4=73682a85 4 4 8=0",
        "object_weak_handle" => "4=77682a85 4 4 8=0",
        "object_fd" => "4=66642a85 4=0 4r 4=0 8=0",
        "object_fda" => "4=66646185 8 8 8",
        "object_ptr" => "4=70742a85 4 *text 8#2 8 8",
        _ => return None,
    })
}

/// What has been said of a program so far.
#[derive(Default)]
struct Program {
    resources: BTreeSet<u64>,
}

impl Program {
    fn line(&mut self, line: &str) -> Result<(), Wrong> {
        let mut reader = Reader(line);
        let mut made = None;
        if reader.takes("r") && line.contains(" = ") {
            made = Some(reader.decimal()?);
            reader.must(" = ")?;
        } else {
            reader = Reader(line);
        }
        let name = reader.word(|letter| letter.is_ascii_alphanumeric() || "_$".contains(letter));
        reader.must("(")?;
        let arguments = reader.list(")")?;
        if !reader.takes(" (async)") && !reader.0.is_empty() {
            return Err(format!("{:?} is left", reader.0));
        }
        let plain = name.split('$').next().unwrap_or(name);
        let variant = ["openat$binder", "openat$hwbinder", "openat$vndbinder", "mmap$binder"].contains(&name);
        let of = if variant { plain } else { name };
        self.structure(of, &arguments)?;
        match made {
            Some(made) if !self.resources.insert(made) => Err(format!("r{made} is there already")),
            _ => Ok(()),
        }
    }

    /// Looks at the fields of a structure, and says how long it is.
    fn structure(&mut self, of: &str, said: &[Argument]) -> Result<u64, Wrong> {
        let fields = fields(of).ok_or_else(|| format!("there is no {of}"))?;
        let fields: Vec<&str> = fields.split(' ').collect();
        if fields.len() != said.len() {
            return Err(format!("{of} has {} fields, not {}", fields.len(), said.len()));
        }
        let mut sizes = Vec::new();
        let mut pointees = Vec::new();
        for (field, argument) in fields.iter().zip(said) {
            let (size, pointee) = self.field(field, argument).map_err(|wrong| format!("{of}: {wrong}"))?;
            sizes.push(size);
            pointees.push(pointee);
        }
        for (field, argument) in fields.iter().zip(said) {
            let Some((_, other)) = field.split_once('#') else { continue };
            let size = other.parse::<usize>().ok().and_then(|other| pointees.get(other).copied());
            if !matches!(argument, Argument::Number(number) if Some(*number) == size) {
                return Err(format!("{of}: {argument:?} is not the size {size:?}"));
            }
        }
        Ok(sizes.iter().sum())
    }

    /// The size of a field, and of what it points to.
    fn field(&mut self, field: &str, said: &Argument) -> Result<(u64, u64), Wrong> {
        if let Some(name) = field.strip_prefix('*') {
            return match said {
                Argument::Number(0) => Ok((8, 0)),
                Argument::Pointer { address, region: None, pointee } => {
                    let size = match pointee {
                        Some(pointee) => self.whole(name, pointee)?,
                        None => 0,
                    };
                    within(*address, size)?;
                    Ok((8, size))
                }
                other => Err(format!("{other:?} is no pointer")),
            };
        }
        let Some(size) = field.chars().next().and_then(|digit| digit.to_digit(10)) else {
            return Ok((self.whole(field, said)?, 0));
        };
        let size = u64::from(size);
        match said {
            Argument::Number(number) => match field.split_once('=') {
                Some((_, constant)) if u64::from_str_radix(constant, 16) != Ok(*number) => {
                    Err(format!("0x{number:x} stands where 0x{constant} must"))
                }
                _ if size < 8 && *number >> (8 * size) != 0 => {
                    Err(format!("0x{number:x} does not go into {size} bytes"))
                }
                _ => Ok((size, 0)),
            },
            Argument::Resource(number) if field.ends_with('r') => match self.resources.contains(number) {
                true => Ok((size, 0)),
                false => Err(format!("r{number} is not there yet")),
            },
            Argument::Made(number) if field.ends_with('r') => {
                self.resources.insert(*number);
                Ok((size, 0))
            }
            other => Err(format!("{other:?} stands where {field} must")),
        }
    }

    /// The size of something that has a name.
    fn whole(&mut self, name: &str, said: &Argument) -> Result<u64, Wrong> {
        match (name, said) {
            ("text", Argument::Text { length }) => Ok(*length),
            ("number", Argument::Number(number)) if *number <= u64::from(u32::MAX) => Ok(4),
            ("vma", Argument::Pointer { address, region: Some(region), pointee: Some(pointee) })
                if matches!(**pointee, Argument::Nil) =>
            {
                within(*address, *region).map(|()| 8)
            }
            ("commands", Argument::Array(commands)) => commands
                .iter()
                .map(|command| match command {
                    Argument::Union(field, command) => self.whole(&format!("commands_{field}"), command),
                    other => Err(format!("{other:?} is no command")),
                })
                .sum(),
            ("polled", Argument::Array(polled)) => {
                polled.iter().map(|one| self.whole("polled_one", one)).sum()
            }
            ("object", Argument::Union(field, object)) => match (field.as_str(), &**object) {
                ("flat", Argument::Union(field, object)) => self.object(field, object),
                (field @ ("fd" | "fda" | "ptr"), object) => self.object(field, object),
                (field, _) => Err(format!("there is no object {field}")),
            },
            (name, Argument::Structure(said)) => self.structure(name, said),
            (name, other) => Err(format!("{other:?} stands where {name} must")),
        }
    }

    /// The size of an object: structures that are not packed are as long as a multiple of their largest field.
    fn object(&mut self, field: &str, said: &Argument) -> Result<u64, Wrong> {
        self.whole(&format!("object_{field}"), said)?;
        Ok(match field {
            "ptr" => 40,
            "fda" => 32,
            _ => 24,
        })
    }
}

fn within(address: u64, size: u64) -> Result<(), Wrong> {
    if address < MEMORY || address + size > MEMORY_END {
        return Err(format!("0x{address:x} and {size} bytes are not in the memory of programs"));
    }
    Ok(())
}

#[test]
fn every_case_becomes_a_program_that_syzkaller_can_read() {
    let mut wrong = Vec::new();
    let mut calls = 0;
    for case in suite::embedded() {
        let Ok(script) = &case.script else { continue };
        let Ok(text) = export(Language::Syz, script, &case.id) else { continue };
        let mut program = Program::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            calls += 1;
            if let Err(reason) = program.line(line) {
                wrong.push(format!("{}: {reason}: {line}", case.id));
                break;
            }
        }
    }
    assert!(calls > 1000, "only {calls} calls were read");
    assert!(wrong.is_empty(), "{} programs: {}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn what_is_no_program_is_not_read() {
    let of = |line: &str| Program::default().line(line);
    of("r0 = openat$binder(0xffffffffffffff9c, &(0x7f0000000000)='/dev/binder\\x00', 0x2, 0x0)").unwrap();
    for line in [
        "close(r7)",
        "close(0x3",
        "close(0x3, 0x4)",
        "ioctl$BINDER_VERSION(0x3, 0xc0046208, &(0x7f0000000000)={0x0})",
        "ioctl$BINDER_VERSION(0x3, 0xc0046209, &(0x7e0000000000)={0x0})",
        "ioctl$BINDER_WRITE_READ(0x3, 0xc0306201, &(0x7f0000000000)={0x8, 0x0, &(0x7f0000000100)=[@enter_looper={0x630c}], 0x0, 0x0, 0x0})",
        "ioctl$BINDER_WRITE_READ(0x3, 0xc0306201, &(0x7f0000000000)={0x4, 0x0, &(0x7f0000000100)=[@leave_looper={0x630c}], 0x0, 0x0, 0x0})",
    ] {
        assert!(of(line).is_err(), "{line}");
    }
}
