//! The tree of a commit, taken out of somebody's repository, which is only read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::apt::run;
use super::{KernelError, file_error, space};

/// What a tree takes of the disk at most, in bytes.
const TAKES: u64 = 2_200_000_000;

/// The tree of a commit that has these files, in a folder that is called by the commit. It is taken out once.
pub fn tree(
    repository: &Path,
    revision: &str,
    needs: &[&str],
    trees: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<PathBuf, KernelError> {
    let git = || {
        let mut git = Command::new("git");
        git.arg("-C").arg(repository);
        git
    };
    let refused = |what: String| KernelError::Unavailable(format!("{} {what}", repository.display()));
    // A tree may lie within a repository: then what it takes of a commit is the part below it.
    let prefix = run(git().args(["rev-parse", "--show-prefix"])).map_err(|error| match error {
        KernelError::Command { reason, .. } if reason.contains("not a git repository") => {
            refused("is in no git repository, of which a commit could be taken".to_owned())
        }
        other => other,
    })?;
    // What begins with a dash would be an option.
    let named = format!("{revision}^{{commit}}");
    let commit = run(git().args(["rev-parse", "--verify", "--quiet", "--end-of-options", &named]));
    let commit = commit.map_err(|error| match error {
        KernelError::Command { reason, .. } => {
            let why = if reason.is_empty() { "git does not know it" } else { reason.as_str() };
            refused(format!("has no commit {revision:?}: {why}"))
        }
        other => other,
    })?;
    let commit: String = commit.trim().chars().take(12).collect();
    let part = prefix.trim().trim_end_matches('/').replace('/', "-");
    let folder = trees.join(if part.is_empty() { commit.clone() } else { format!("{commit}-{part}") });
    if folder.is_dir() {
        return Ok(folder);
    }
    let is_there = |path: &&str| {
        let named = format!("{commit}:{}{path}", prefix.trim());
        run(git().args(["cat-file", "-e", &named])).is_ok()
    };
    if let Some(missing) = needs.iter().find(|path| !is_there(path)) {
        return Err(refused(format!("is no source of Linux at {revision}: it has no {missing}")));
    }
    fs::create_dir_all(trees).map_err(|error| file_error(trees, error))?;
    space::check(trees, TAKES, &format!("taking {commit} out of its repository"))?;
    tell(&format!("taking {commit} out of its repository"));
    let fresh = tempfile::Builder::new().prefix(".taking-").tempdir_in(trees);
    let fresh = fresh.map_err(|error| file_error(trees, error))?;
    let failed = |command: &str, reason: String| KernelError::Command { command: command.to_owned(), reason };
    let mut archive = git()
        .args(["archive", "--format=tar", &commit])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed("git archive", error.to_string()))?;
    let mut tar = Command::new("tar");
    tar.arg("-x").arg("-C").arg(fresh.path());
    if let Some(packed) = archive.stdout.take() {
        tar.stdin(packed);
    }
    let unpacked = run(&mut tar);
    let packed = archive.wait().map_err(|error| failed("git archive", error.to_string()))?;
    unpacked?;
    if !packed.success() {
        return Err(failed("git archive", packed.to_string()));
    }
    // Nobody ever sees half a tree: it is moved into its place as a whole.
    fs::rename(fresh.keep(), &folder).map_err(|error| file_error(&folder, error))?;
    Ok(folder)
}

/// Whether a folder is a git repository's, and has changes that are not committed.
pub fn has_uncommitted_changes(folder: &Path) -> bool {
    let mut git = Command::new("git");
    // It is only read: git may not write down what it has looked at.
    git.arg("--no-optional-locks").arg("-C").arg(folder);
    git.args(["status", "--porcelain", "--untracked-files=no", "--", "."]);
    // What git cannot say anything of is no repository, or none that it can read.
    git.output().is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}
