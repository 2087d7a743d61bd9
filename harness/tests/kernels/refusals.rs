//! What is no kernel, no device, no module, or may not be used: an error that says so, and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use libtest_mimic::Failed;

use super::{Test, binderdrill, holds, is, output};

pub(super) const TESTS: &[Test] = &[
    ("what_is_no_kernel_is_refused", no_kernel),
    ("a_kernel_that_was_not_fetched_is_refused", not_fetched),
    ("a_missing_emulator_is_told", no_emulator),
    ("what_is_no_module_is_refused", no_module),
    ("what_is_no_binder_device_is_refused", no_device),
    ("a_device_that_may_not_be_opened_is_refused", no_permission),
    ("results_that_cannot_be_written_are_told", full_disk),
    ("a_kernel_name_that_is_none_is_refused", no_name),
    ("missing_tools_are_told_at_once", no_tools),
    ("a_bindgen_that_is_known_not_to_work_is_refused", wrong_bindgen),
    ("what_cannot_be_built_is_refused", not_to_be_built),
];

/// Runs a script on a target that cannot be used.
fn refused(arguments: &[&str], parts: &[&str]) -> Result<(), Failed> {
    let (status, report, error) = output(&mut binderdrill(&[&["run", "first.drill"], arguments].concat()))?;
    is(status, 2, &error)?;
    is(report.as_str(), "", "")?;
    holds(&error, parts)
}

fn no_kernel() -> Result<(), Failed> {
    refused(&["--target", "vm:./first.drill"], &["first.drill is no Linux kernel", "bzImage"])?;
    refused(&["--target", "vm:/no/such/kernel"], &["/no/such/kernel", "No such file"])
}

fn not_fetched() -> Result<(), Failed> {
    refused(&["--target", "vm:debian-1.2"], &["binderdrill kernel fetch debian-1.2"])
}

fn no_emulator() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("bzImage");
    let mut bytes = vec![0; 0x300];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    fs::write(&image, bytes)?;
    let target = format!("vm:{}", image.display());
    let mut command = binderdrill(&["run", "first.drill", "--target", &target]);
    let (status, _, error) = output(command.env("PATH", folder.path()))?;
    is(status, 2, &error)?;
    holds(&error, &["qemu-system-x86_64 is not installed", "apt-get install"])
}

fn no_module() -> Result<(), Failed> {
    refused(
        &["--target", "vm:./first.drill", "--module", "first.drill"],
        &["first.drill is no kernel module"],
    )
}

fn no_device() -> Result<(), Failed> {
    refused(&["--target", "device:/dev/null"], &["/dev/null is no binder device"])?;
    refused(&["--target", "device:/dev/there-is-none"], &["there is no device", "modprobe"])
}

fn no_permission() -> Result<(), Failed> {
    const NOBODY: u32 = 65_534;
    let folder = tempfile::tempdir()?;
    let place = |name: &str| folder.path().join(name);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    fs::copy(env!("CARGO_BIN_EXE_binderdrill"), place("binderdrill"))?;
    fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/scripts/first.drill"),
        place("first.drill"),
    )?;
    fs::write(place("device"), "")?;
    fs::set_permissions(place("device"), fs::Permissions::from_mode(0o000))?;
    let target = format!("device:{}", place("device").display());
    let mut command = std::process::Command::new(place("binderdrill"));
    command.args(["run", "first.drill", "--target", &target]).current_dir(folder.path());
    if nix::unistd::geteuid().is_root() {
        // Root may open anything, so somebody else tries.
        command.uid(NOBODY).gid(NOBODY);
    }
    let (status, _, error) = output(&mut command)?;
    is(status, 2, &error)?;
    holds(&error, &["may not be opened by this user", "chmod"])
}

fn full_disk() -> Result<(), Failed> {
    let full = fs::File::options().write(true).open("/dev/full")?;
    let mut command = binderdrill(&["run", "first.drill", "--format", "json"]);
    let ended = command.stdout(full).stderr(std::process::Stdio::piped()).output()?;
    let error = String::from_utf8_lossy(&ended.stderr).into_owned();
    is(ended.status.code(), Some(2), &error)?;
    holds(&error, &["the results cannot be written", "No space left"])
}

fn no_name() -> Result<(), Failed> {
    let (status, _, error) = output(&mut binderdrill(&["kernel", "path", "fedora-6"]))?;
    is(status, 2, &error)?;
    holds(&error, &["\"fedora-6\" is no name of a stock kernel", "debian-6.12"])
}

fn no_tools() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let mut command = binderdrill(&["kernel", "build", "--driver", "rust", "--source", "."]);
    command.env("PATH", folder.path()).env("XDG_CACHE_HOME", folder.path()).env("BINDGEN", "/bin/true");
    let (status, _, error) = output(&mut command)?;
    is(status, 2, &error)?;
    holds(&error, &["\n  gcc\n", "\n  flex\n", "rustc, 1.85 or newer", "apt-get install", " flex bison "])?;
    holds(&error, &["bindgen 0.71.1; /bin/true is no", "cargo install bindgen-cli --version 0.71.1"])
}

fn wrong_bindgen() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let bindgen = folder.path().join("bindgen");
    fs::write(&bindgen, "#!/bin/sh\necho bindgen 0.73.2\n")?;
    fs::set_permissions(&bindgen, fs::Permissions::from_mode(0o755))?;
    let mut command = binderdrill(&["kernel", "build", "--driver", "rust", "--source", "."]);
    let (status, _, error) = output(command.env("BINDGEN", &bindgen))?;
    is(status, 2, &error)?;
    holds(
        &error,
        &["bindgen 0.71.1; ", "0.73.2, too new", "cargo install bindgen-cli --version 0.71.1 --locked"],
    )
}

fn not_to_be_built() -> Result<(), Failed> {
    let together = |arguments: &[&str], part: &str| {
        let (status, _, error) = output(&mut binderdrill(&[&["kernel", "build"], arguments].concat()))?;
        is(status, 2, &error)?;
        holds(&error, &[part])
    };
    together(&["--driver", "rust", "--with", "gcov"], "gcov and the Rust driver")?;
    together(&["--with", "gcov,lockdep"], "build one of each")?;
    together(&["--with", "ubsan"], "kasan, lockdep, kcov, gcov")?;
    together(&["--source", "linux-source-new"], "no name of a source")?;
    together(&["--name", "a/b"], "no name of a built kernel")
}
