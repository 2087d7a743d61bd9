//! What a kernel is configured with: the options that are asked for, and that none of them was lost.
//!
//! The options are in the fragments of the folder `configuration/`. Everything that they do not name is off. Linux
//! drops an option silently if what it depends on is off or the source does not have it; here that is an error.

use std::collections::BTreeMap;
use std::fmt;

use super::built::{BuiltFor, Choices, Instrument};
use crate::program::DriverKind;

const BASE: &str = include_str!("configuration/base.config");
const UML: &str = include_str!("configuration/uml.config");
const QEMU: &str = include_str!("configuration/qemu.config");
const DRIVER_C: &str = include_str!("configuration/driver-c.config");
const DRIVER_RUST: &str = include_str!("configuration/driver-rust.config");
const KASAN: &str = include_str!("configuration/kasan.config");
const KASAN_UML: &str = include_str!("configuration/kasan-uml.config");
const KASAN_QEMU: &str = include_str!("configuration/kasan-qemu.config");
const LOCKDEP: &str = include_str!("configuration/lockdep.config");
const KCOV: &str = include_str!("configuration/kcov.config");
const GCOV: &str = include_str!("configuration/gcov.config");

/// What Linux called otherwise once.
const OLDER: &str = include_str!("configuration/older.config");

/// The value that says that an option is off.
const OFF: &str = "n";

/// Options and their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

/// An option that is not as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    option: String,
    asked: String,
    is: String,
}

impl Options {
    /// Those that are asked for with these choices.
    pub fn asked_for(choices: &Choices) -> Options {
        let kind = match choices.kind {
            BuiltFor::Uml => UML,
            BuiltFor::Qemu => QEMU,
        };
        let driver = match choices.driver {
            DriverKind::C => DRIVER_C,
            DriverKind::Rust => DRIVER_RUST,
        };
        let mut fragments = vec![BASE, kind, driver];
        for instrument in &choices.with {
            fragments.extend(match (instrument, choices.kind) {
                (Instrument::Kasan, BuiltFor::Uml) => vec![KASAN, KASAN_UML],
                (Instrument::Kasan, BuiltFor::Qemu) => vec![KASAN, KASAN_QEMU],
                (Instrument::Lockdep, _) => vec![LOCKDEP],
                (Instrument::Kcov, _) => vec![KCOV],
                (Instrument::Gcov, _) => vec![GCOV],
                // That is between rustc and whoever reads the kernel's memory.
                (Instrument::LlvmCov, _) => vec![],
            });
        }
        Options(fragments.into_iter().flat_map(Options::read_lines).collect())
    }

    /// These, as far as an older Linux has them: what it calls otherwise, and without what it cannot do.
    pub fn for_older_linux(&self, kind: BuiltFor) -> Options {
        let mut options = self.0.clone();
        options.extend(Options::read_lines(OLDER));
        if kind == BuiltFor::Uml {
            // It has one processor there: races take longer to happen.
            options.retain(|option, _| !["CONFIG_SMP", "CONFIG_NR_CPUS"].contains(&option.as_str()));
        }
        Options(options)
    }

    /// Those of a `.config`, which leaves out, or names in a comment, what is off.
    pub fn read(text: &str) -> Options {
        Options(Options::read_lines(text).collect())
    }

    fn read_lines(text: &str) -> impl Iterator<Item = (String, String)> {
        let assignments = text.lines().filter(|line| line.starts_with("CONFIG_"));
        assignments
            .filter_map(|line| line.split_once('='))
            .map(|(option, value)| (option.to_owned(), value.to_owned()))
    }

    /// Which of these are something else in a configuration.
    pub fn lost_in(&self, configuration: &Options) -> Vec<Lost> {
        let value = |option: &String| configuration.0.get(option).map_or(OFF, String::as_str);
        let lost = self.0.iter().filter(|(option, asked)| value(option) != asked.as_str());
        lost.map(|(option, asked)| Lost {
            option: option.clone(),
            asked: asked.clone(),
            is: value(option).to_owned(),
        })
        .collect()
    }
}

/// As Linux reads them.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(option, value)| match value.as_str() {
            OFF => writeln!(f, "# {option} is not set"),
            value => writeln!(f, "{option}={value}"),
        })
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} is {}", self.option, self.asked, self.is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 12] =
        [BASE, UML, QEMU, DRIVER_C, DRIVER_RUST, KASAN, KASAN_UML, KASAN_QEMU, LOCKDEP, KCOV, GCOV, OLDER];

    fn asked_for(kind: BuiltFor, driver: DriverKind, with: &[Instrument]) -> Options {
        Options::asked_for(&Choices { kind, driver, with: with.iter().copied().collect() })
    }

    #[test]
    fn fragments_hold_assignments_and_comments_only() {
        for line in ALL.iter().flat_map(|fragment| fragment.lines()) {
            let assigns =
                line.starts_with("CONFIG_") && line.split_once('=').is_some_and(|(_, to)| !to.is_empty());
            assert!(assigns || line.is_empty() || line.starts_with("# "), "{line}");
            assert!(!line.ends_with("is not set"), "{line}: an option is switched off with =n");
        }
    }

    #[test]
    fn no_two_fragments_disagree() {
        use Instrument::{Gcov, Kasan, Kcov, Lockdep};
        for kind in [BuiltFor::Uml, BuiltFor::Qemu] {
            for driver in [DriverKind::C, DriverKind::Rust] {
                let whole = asked_for(kind, driver, &[Kasan, Lockdep, Kcov, Gcov]);
                for part in [&[][..], &[Kasan], &[Lockdep], &[Kcov], &[Gcov]] {
                    assert_eq!(asked_for(kind, driver, part).lost_in(&whole), []);
                }
            }
        }
    }

    #[test]
    fn an_older_linux_is_asked_for_what_it_has() {
        let on = |options: &Options, option: &str| options.0.get(option).map(String::as_str) == Some("y");
        for (kind, many) in [(BuiltFor::Uml, false), (BuiltFor::Qemu, true)] {
            let newest = asked_for(kind, DriverKind::C, &[]);
            let older = newest.for_older_linux(kind);
            assert!(on(&newest, "CONFIG_SMP") && !on(&newest, "CONFIG_PROC_SYSCTL"));
            assert!(on(&older, "CONFIG_PROC_SYSCTL") && on(&older, "CONFIG_SYSCTL"));
            assert_eq!(on(&older, "CONFIG_SMP"), many);
        }
    }

    #[test]
    fn what_was_lost_is_named() {
        let asked = Options::read("CONFIG_A=y\nCONFIG_B=n\nCONFIG_C=\"x=y\"\nCONFIG_D=n\nCONFIG_E=8\n");
        let got = Options::read("# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=\"x=y\"\nCONFIG_E=4\n");
        let lost: Vec<_> = asked.lost_in(&got).iter().map(ToString::to_string).collect();
        assert_eq!(lost, ["CONFIG_A=y is n", "CONFIG_B=n is y", "CONFIG_E=8 is 4"]);
        assert_eq!(asked.lost_in(&asked), []);
    }

    #[test]
    fn options_are_written_as_linux_reads_them() {
        let options = Options::read("CONFIG_B=n\nCONFIG_A=y\n");
        assert_eq!(options.to_string(), "CONFIG_A=y\n# CONFIG_B is not set\n");
    }
}
