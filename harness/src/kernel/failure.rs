//! Why a build failed: the first error among all that make said.

/// How many lines of an error are shown.
const SHOWN: usize = 20;

/// The first error in what make said, with what the compiler says about it; without any, make's last words.
pub fn first_error(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let error = lines.iter().position(|line| is_error(line)).or_else(|| {
        // Whoever fails without the word: make still says so.
        lines.iter().position(|line| line.contains("***")).map(|line| line.saturating_sub(5))
    });
    let Some(error) = error else {
        return lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    };
    // Which function it is in, and how the file came to be included, stand before it.
    let before = lines[..error].iter().rev().take_while(|line| leads_to_error(line)).count();
    let after = lines[error..].iter().enumerate().skip(1).take(SHOWN);
    let after = after.take_while(|(_, line)| !ends_error(line)).count();
    lines[error - before..=error + after].join("\n")
}

/// As compilers, linkers, assemblers and Linux's own scripts begin an error.
fn is_error(line: &str) -> bool {
    let begins = ["error: ", "error[", "ERROR: ", "Error: "].iter().any(|word| line.starts_with(word));
    let holds =
        [": error: ", ": fatal error: ", ": Error: ", "undefined reference to", "multiple definition of"];
    begins || holds.iter().any(|word| line.contains(word)) || is_error_of_kconfig(line)
}

/// As Linux' configuration says that one of its files is wrong, or not there: `crypto/Kconfig:12: can't open file`.
fn is_error_of_kconfig(line: &str) -> bool {
    let mut parts = line.splitn(3, ':');
    let (Some(path), Some(number), Some(said)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("Kconfig") && number.parse::<u32>().is_ok() && !said.trim_start().starts_with("warning:")
}

fn leads_to_error(line: &str) -> bool {
    line.starts_with("In file included from")
        || line.trim_start().starts_with("from ")
        || line.contains(": In function ")
}

/// The next thing: another error or warning, another step, or make giving up.
fn ends_error(line: &str) -> bool {
    is_error(line)
        || line.contains(": warning: ")
        || line.starts_with("make")
        || line.starts_with("error: aborting")
        || leads_to_error(line)
        || step(line).is_some()
}

/// What a line of make's says that is being made, such as `CC drivers/android/binder.o`.
pub fn step(line: &str) -> Option<&str> {
    let step = line.strip_prefix("  ")?;
    step.starts_with(|c: char| c.is_ascii_uppercase()).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_gcc_is_shown_whole() {
        let log = "\
  CC      kernel/fork.o
  CC      drivers/android/binder.o
drivers/base/core.c:5:1: warning: unused variable 'x' [-Wunused-variable]
In file included from include/linux/a.h:1,
                 from drivers/android/binder.c:2:
drivers/android/binder.c: In function 'binder_ioctl':
drivers/android/binder.c:100:9: error: expected ';' before 'return'
  100 |         return 0
      |         ^~~~~~
      |         ;
drivers/android/binder.c:120:1: error: control reaches end
make[4]: *** [scripts/Makefile.build:1: drivers/android/binder.o] Error 1
  CC      fs/open.o
";
        insta::assert_snapshot!(first_error(log));
    }

    #[test]
    fn the_first_error_of_rustc_is_shown_whole() {
        let log = "\
  RUSTC   drivers/android/binder/rust_binder_main.o
warning: unused import
error[E0425]: cannot find value `foo` in this scope
  --> drivers/android/binder/node.rs:10:5
   |
10 |     foo;
   |     ^^^ not found in this scope

error: aborting due to 1 previous error

make[4]: *** [scripts/Makefile.build:2: drivers/android/binder/rust_binder_main.o] Error 1
";
        insta::assert_snapshot!(first_error(log));
    }

    #[test]
    fn other_ends_are_shown_too() {
        let linking = "  LD      vmlinux\nld: binder.o: in function `f':\nbinder.c:(.text+0x1): undefined reference to `g'\nmake: *** [Makefile:1] Error 1\n";
        assert_eq!(first_error(linking), "binder.c:(.text+0x1): undefined reference to `g'");
        let configuring = "  HOSTLD  scripts/kconfig/conf\nKconfig:3:warning: odd\ncrypto/Kconfig:9: can't open file \"x\"\nmake[3]: *** [Makefile:85] Error 1\n";
        assert_eq!(first_error(configuring), "crypto/Kconfig:9: can't open file \"x\"");
        let wordless = "  GEN     x\nsh: 1: foo: not found\nmake: *** [Makefile:1: x] Error 127\n";
        assert!(first_error(wordless).contains("foo: not found"));
        assert_eq!(first_error("Killed\n"), "Killed");
        assert_eq!(first_error(""), "");
    }
}
