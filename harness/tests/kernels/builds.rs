//! Kernels built from source, of a tree that stands in for Linux, in a cache of its own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use libtest_mimic::Failed;
use tempfile::TempDir;

use super::{Test, binderdrill, holds, is, output};

pub(super) const TESTS: &[Test] = &[
    ("a_kernel_is_built_once", built_once),
    ("a_change_is_built_and_so_is_taking_it_back", changed),
    ("a_build_that_fails_says_why_and_leaves_no_kernel", failing),
    ("a_build_that_is_killed_leaves_nothing_running", killed),
    ("a_kernel_that_is_being_built_is_not_removed", in_use),
    ("a_lost_option_is_named", lost_option),
    ("built_kernels_are_listed_and_removed", listed_and_removed),
];

/// What these tests take of the machine; Linux takes more, which is stood in for.
pub(super) fn can_build() -> bool {
    ["make", "gcc", "ld"].iter().all(|program| Command::new(program).arg("--version").output().is_ok())
}

/// A source, a cache, and a folder of programs.
struct Workplace {
    folder: TempDir,
    /// The path of the source.
    tree: String,
}

impl Workplace {
    fn new() -> Result<Workplace, Failed> {
        let folder = tempfile::tempdir()?;
        let tree = folder.path().join("tree").display().to_string();
        let workplace = Workplace { folder, tree };
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels/tree");
        fs::create_dir_all(workplace.at("tree/drivers/android"))?;
        for file in ["Makefile", "Kbuild", "lose", "drivers/android/Kconfig", "drivers/android/binder.c"] {
            fs::copy(original.join(file), workplace.at("tree").join(file))?;
        }
        fs::create_dir(workplace.at("programs"))?;
        for program in ["flex", "bison", "bc", "perl"] {
            symlink("/bin/true", workplace.at("programs").join(program))?;
        }
        Ok(workplace)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn driver(&self) -> PathBuf {
        self.at("tree/drivers/android/binder.c")
    }

    fn call(&self, arguments: &[&str]) -> Result<(i32, String, String), Failed> {
        output(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut path = self.at("programs").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = binderdrill(&[&["kernel"], arguments].concat());
        command.env("PATH", path).env("XDG_CACHE_HOME", self.at("cache"));
        command
    }

    fn build(&self) -> Result<(i32, String, String), Failed> {
        self.call(&self.build_words())
    }

    fn build_words(&self) -> [&str; 5] {
        ["build", "--source", &self.tree, "--name", "mine"]
    }

    /// Builds it, and tells whether the image holds this.
    fn builds(&self, how: &str, driver: &str) -> Result<(), Failed> {
        let (status, out, error) = self.build()?;
        is(status, 0, &error)?;
        holds(&out, &["built:mine is Linux 7.3.0-small with the C driver, for uml", how])?;
        let (_, image, _) = self.call(&["path", "built:mine"])?;
        let image = fs::read(image.trim())?;
        holds(&String::from_utf8_lossy(&image), &[driver])
    }
}

fn built_once() -> Result<(), Failed> {
    let workplace = Workplace::new()?;
    workplace.builds("(built,", "the first driver")?;
    workplace.builds("(was there,", "the first driver")?;
    let mut left: Vec<_> =
        fs::read_dir(workplace.at("tree"))?.flatten().map(|entry| entry.file_name()).collect();
    left.sort();
    is(left, ["Kbuild", "Makefile", "drivers", "lose"].map(OsString::from).to_vec(), "the tree is only read")
}

fn changed() -> Result<(), Failed> {
    let workplace = Workplace::new()?;
    let original = fs::read_to_string(workplace.driver())?;
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let date = |when| fs::File::options().write(true).open(workplace.driver())?.set_modified(when);
    date(long_ago)?;
    workplace.builds("(built,", "the first driver")?;
    fs::write(workplace.driver(), original.replace("first", "second"))?;
    workplace.builds("(built,", "the second driver")?;
    // As a tool that takes a patch back leaves it: older than the object. make alone would see nothing to do.
    fs::write(workplace.driver(), original)?;
    date(long_ago)?;
    workplace.builds("(built,", "the first driver")
}

fn failing() -> Result<(), Failed> {
    let workplace = Workplace::new()?;
    workplace.builds("(built,", "the first driver")?;
    fs::write(workplace.driver(), "int f(void) { return nothing; }\nint g(void) { return no_more; }\n")?;
    let (status, _, error) = workplace.build()?;
    is(status, 2, &error)?;
    holds(&error, &["does not build", "binder.c:1", "nothing", "build.log"])?;
    is(error.contains("no_more"), false, &error)?;
    let (status, _, error) = workplace.call(&["path", "built:mine"])?;
    is(status, 2, &error)?;
    holds(&error, &["built:mine was not built to the end"])
}

/// A build that does not end by itself, and the number of the process that does not.
fn endless(workplace: &Workplace) -> Result<(Child, String), Failed> {
    let recipe =
        "linux:\n\t@echo $$$$ > $(O)/endless.new; mv $(O)/endless.new $(O)/endless; exec sleep 600\n";
    let makefile = fs::read_to_string(workplace.at("tree/Makefile"))?;
    let (before, _) = makefile.split_once("linux:").ok_or("no rule for the image")?;
    fs::write(workplace.at("tree/Makefile"), format!("{before}{recipe}"))?;
    let mut build = workplace.command(&workplace.build_words()).stdout(Stdio::null()).spawn()?;
    let path = workplace.at("cache/binderdrill/kernels/built/mine/objects/endless");
    loop {
        match fs::read_to_string(&path) {
            Ok(process) => return Ok((build, format!("/proc/{}", process.trim()))),
            Err(_) if build.try_wait()?.is_some() => return Err("the build has ended".into()),
            Err(_) => sleep(Duration::from_millis(10)),
        }
    }
}

fn killed() -> Result<(), Failed> {
    let workplace = Workplace::new()?;
    let makefile = fs::read_to_string(workplace.at("tree/Makefile"))?;
    let (mut build, process) = endless(&workplace)?;
    is(Path::new(&process).exists(), true, "the process that does not end")?;
    build.kill()?;
    build.wait()?;
    let started = Instant::now();
    while Path::new(&process).exists() {
        is(started.elapsed() < Duration::from_secs(60), true, &format!("{process} is left"))?;
        sleep(Duration::from_millis(10));
    }
    let (_, list, _) = workplace.call(&["list"])?;
    holds(&list, &["built:mine", "not built to the end"])?;
    fs::write(workplace.at("tree/Makefile"), makefile)?;
    workplace.builds("(built,", "the first driver")
}

fn in_use() -> Result<(), Failed> {
    let workplace = Workplace::new()?;
    let (mut build, _) = endless(&workplace)?;
    let (status, _, error) = workplace.call(&["remove", "built:mine"])?;
    build.kill()?;
    build.wait()?;
    is(status, 2, &error)?;
    holds(&error, &["built:mine is being built"])
}

fn lost_option() -> Result<(), Failed> {
    let workplace = Workplace::new()?;
    fs::write(workplace.at("tree/lose"), "CONFIG_PROC_CHILDREN")?;
    let (status, _, error) = workplace.build()?;
    is(status, 2, &error)?;
    holds(&error, &["cannot be configured as asked for", "\n  CONFIG_PROC_CHILDREN=y is n"])
}

fn listed_and_removed() -> Result<(), Failed> {
    let workplace = Workplace::new()?;
    workplace.builds("(built,", "the first driver")?;
    let (_, list, _) = workplace.call(&["list"])?;
    holds(&list, &["built:mine ", "Linux 7.3.0-small, from /", " kB  built ", "built:uml-rust"])?;
    holds(&list, &["missing: binderdrill kernel build --driver rust"])?;
    let (status, _, error) = workplace.call(&["remove", "built:mine"])?;
    is(status, 0, &error)?;
    let (_, list, _) = workplace.call(&["list"])?;
    is(list.contains("built:mine"), false, &list)?;
    let (status, _, error) = workplace.call(&["remove", "mine"])?;
    is(status, 2, &error)?;
    holds(&error, &["binderdrill kernel list"])
}
