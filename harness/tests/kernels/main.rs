//! The harness on kernels that misbehave, and on files that are no kernels.
//!
//! What boots a kernel takes QEMU and the stock kernels debian-6.12 and debian-6.1 (`binderdrill kernel fetch`). Where
//! they are not, those tests are ignored and counted so, not passed. The same goes for what boots a kernel of User-mode
//! Linux, which takes built:uml-c or built:uml-rust (`binderdrill kernel build`), for what counts lines, which takes
//! built:uml-c-gcov (`binderdrill kernel build --with gcov`), for what builds, which takes make and gcc, and for what
//! patches a stock kernel, which takes its source besides (`binderdrill kernel fetch linux-source-6.12`). What patches a
//! kernel built here takes built:uml-c-gcov or built:uml-rust and, as the newest source, linux-source-7.3.

mod builds;
mod coverage;
mod ends;
mod exported;
mod guests;
mod patches;
mod refusals;
mod tapes;

use std::path::Path;
use std::process::{Command, ExitCode, Output};

use binderdrill::kernel::Store;
use binderdrill::target::live_as_asked;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    // Guests and agents are this program once more.
    if let Some(status) = live_as_asked() {
        return status;
    }
    let arguments = Arguments::from_args();
    let can_boot = can_boot();
    let guests = guests::TESTS
        .iter()
        .chain(ends::IN_QEMU)
        .chain(tapes::ON_STOCK)
        .map(|(name, test)| Trial::test(*name, *test).with_kind("guest").with_ignored_flag(!can_boot));
    let has_uml = Store::of_user().is_ok_and(|store| store.built("uml-c").is_ok());
    let uml = guests::IN_UML
        .iter()
        .chain(ends::IN_UML)
        .chain(exported::IN_UML)
        .chain(coverage::IN_UML)
        .chain(tapes::IN_UML)
        .map(|(name, test)| Trial::test(*name, *test).with_kind("uml").with_ignored_flag(!has_uml));
    let has_uml_of_rust = Store::of_user().is_ok_and(|store| store.built("uml-rust").is_ok());
    let uml_of_rust = exported::IN_RUST
        .iter()
        .chain(tapes::IN_RUST)
        .map(|(name, test)| Trial::test(*name, *test).with_kind("uml").with_ignored_flag(!has_uml_of_rust));
    let can_count = coverage::can_count();
    let coverage = coverage::IN_GCOV
        .iter()
        .map(|(name, test)| Trial::test(*name, *test).with_kind("gcov").with_ignored_flag(!can_count));
    let can_build = builds::can_build();
    let builds = builds::TESTS
        .iter()
        .map(|(name, test)| Trial::test(*name, *test).with_kind("build").with_ignored_flag(!can_build));
    let can_patch = can_boot && can_build && patches::has_source_of_stock();
    let patches = patches::ON_STOCK
        .iter()
        .map(|(name, test)| Trial::test(*name, *test).with_kind("patch").with_ignored_flag(!can_patch));
    let has_newest = patches::has_newest_source();
    let of_gcov = patches::ON_GCOV.iter().map(|(name, test)| {
        Trial::test(*name, *test).with_kind("patch").with_ignored_flag(!(can_count && has_newest))
    });
    let has_rust = has_newest && has_uml_of_rust;
    let of_rust = patches::ON_RUST
        .iter()
        .map(|(name, test)| Trial::test(*name, *test).with_kind("patch").with_ignored_flag(!has_rust));
    let refusals =
        refusals::TESTS.iter().chain(patches::REFUSALS).map(|(name, test)| Trial::test(*name, *test));
    libtest_mimic::run(
        &arguments,
        guests
            .chain(uml)
            .chain(uml_of_rust)
            .chain(coverage)
            .chain(builds)
            .chain(patches)
            .chain(of_gcov)
            .chain(of_rust)
            .chain(refusals)
            .collect(),
    )
    .exit_code()
}

/// A test and its name.
type Test = (&'static str, fn() -> Result<(), Failed>);

fn can_boot() -> bool {
    let emulator = Command::new("qemu-system-x86_64").arg("--version").output().is_ok();
    let fetched = |name| Store::of_user().is_ok_and(|store| store.kernel(name).is_ok());
    emulator && fetched("debian-6.12") && fetched("debian-6.1")
}

fn binderdrill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_binderdrill"));
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels/scripts");
    command.args(arguments).current_dir(scripts).env_remove("CLICOLOR_FORCE");
    command
}

fn output(command: &mut Command) -> Result<(i32, String, String), Failed> {
    let Output { status, stdout, stderr } = command.output()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok((status.code().ok_or("ended by a signal")?, text(&stdout), text(&stderr)))
}

/// Fails with what there was, unless all of this is in it.
fn holds(text: &str, parts: &[&str]) -> Result<(), Failed> {
    match parts.iter().find(|part| !text.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("{part:?} is not in:\n{text}").into()),
    }
}

fn is<T: PartialEq + std::fmt::Debug>(came: T, expected: T, besides: &str) -> Result<(), Failed> {
    if came == expected { Ok(()) } else { Err(format!("{came:?} is not {expected:?}:\n{besides}").into()) }
}
