//! The usual kernels: those that a list names even where they are missing, and that the whole matrix runs on.

use strum::IntoEnumIterator;

use super::Store;
use super::built::{BUILT_PREFIX, BuiltFor, Choices, Instrument};
use crate::program::DriverKind;

/// The stock kernels among them.
pub const STOCK: &[&str] = &["debian-6.1", "debian-6.12", "debian-7"];

/// What the built kernels among them watch themselves with.
fn watched(kind: BuiltFor, driver: DriverKind) -> &'static [&'static [Instrument]] {
    match (kind, driver) {
        // KASAN with Rust takes clang, and what clang makes of User-mode Linux 7.3 switches lockdep off as it boots.
        (BuiltFor::Uml, DriverKind::Rust) => &[&[], &[Instrument::Kasan], &[Instrument::Lockdep]],
        _ => &[&[], &[Instrument::Kasan, Instrument::Lockdep]],
    }
}

/// A usual kernel, which may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usual {
    /// What it is called.
    pub name: String,
    /// The target that it is.
    pub target: String,
    /// What makes it, such as `binderdrill kernel fetch debian-6.12`.
    pub command: String,
}

/// All of them.
pub fn usual() -> Vec<Usual> {
    let stock = STOCK.iter().map(|name| Usual {
        name: (*name).to_owned(),
        target: format!("vm:{name}"),
        command: format!("binderdrill kernel fetch {name}"),
    });
    let built = BuiltFor::iter().flat_map(|kind| {
        DriverKind::iter().flat_map(move |driver| {
            let watched = watched(kind, driver).iter();
            watched.map(move |with| Choices { kind, driver, with: with.iter().copied().collect() })
        })
    });
    stock.chain(built.map(|choices| Usual::built(&choices))).collect()
}

impl Usual {
    fn built(choices: &Choices) -> Usual {
        let name = format!("{BUILT_PREFIX}{}", choices.name());
        Usual { target: name.clone(), name, command: command(choices) }
    }

    /// Whether it is there.
    pub fn is_in(&self, store: &Store) -> bool {
        if self.name.starts_with(BUILT_PREFIX) {
            store.built(&self.name).is_ok()
        } else {
            store.kernel(&self.name).is_ok()
        }
    }
}

/// The command that builds a kernel with these choices, of the newest source that is there.
fn command(choices: &Choices) -> String {
    let mut command = "binderdrill kernel build".to_owned();
    if choices.driver != DriverKind::C {
        command += &format!(" --driver {}", choices.driver);
    }
    if choices.kind != BuiltFor::Uml {
        command += &format!(" --for {}", choices.kind);
    }
    if !choices.with.is_empty() {
        let with: Vec<String> = choices.with.iter().map(ToString::to_string).collect();
        command += &format!(" --with {}", with.join(","));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_kernels_are_these() {
        let lines: Vec<String> =
            usual().iter().map(|usual| format!("{}: {}", usual.target, usual.command)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
