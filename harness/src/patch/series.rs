//! Series: the patches in a file, which is a mail of `git format-patch`, a mailbox with several of them, or a plain diff.

use std::io;
use std::path::{Path, PathBuf};

use diffy::patch_set::{FileOperation, FilePatch, ParseOptions, PatchSet};
use mail_parser::MessageParser;
use mail_parser::mailbox::mbox::MessageIterator;

use crate::input;

/// A file larger than this, in bytes, is no patch that anybody has read.
const LARGEST: u64 = 32 << 20;

/// How a mail begins as git writes it, and each one of a mailbox.
const MAIL: &[u8] = b"From ";

/// A patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// What it does: the subject of its mail, or the name of its file.
    pub title: String,
    /// The diff, and what stands around it.
    text: String,
}

/// Why a file holds no patches.
#[derive(Debug, thiserror::Error)]
pub enum UnreadablePatch {
    /// It cannot be read.
    #[error("the patch {path} cannot be read: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        error: io::Error,
    },
    /// There is nothing in it.
    #[error("the patch {path} is empty", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It holds no diff.
    #[error(
        "{path} holds no patch: what is wanted is a diff -u or a git diff, or one or several mails of git format-patch",
        path = path.display()
    )]
    NoDiff {
        /// The file.
        path: PathBuf,
    },
    /// It holds mails, and none of them a patch, as a cover letter does.
    #[error("{path} is a mail without a patch", path = path.display())]
    OnlyMails {
        /// The file.
        path: PathBuf,
    },
    /// A diff in it is not one.
    #[error("{path}: \"{title}\" is not a whole patch: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The patch.
        title: String,
        /// What is the matter.
        reason: String,
    },
}

/// The patches in a file or, for `-`, in standard input, in their order. There is at least one.
pub fn read(path: &Path) -> Result<Vec<Patch>, UnreadablePatch> {
    let failed = |error| UnreadablePatch::File { path: path.to_owned(), error };
    let bytes = input::read(path, LARGEST).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        let error = io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 32 MiB");
        return Err(failed(error));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(UnreadablePatch::Empty { path: path.to_owned() });
    }
    let name = match input::is_standard(path) {
        true => "standard input".into(),
        false => path.file_name().unwrap_or_default().to_string_lossy(),
    };
    let patches = parse(&bytes, &name);
    if patches.is_empty() {
        let path = path.to_owned();
        return Err(match bytes.starts_with(MAIL) {
            true => UnreadablePatch::OnlyMails { path },
            false => UnreadablePatch::NoDiff { path },
        });
    }
    for patch in &patches {
        let malformed = |reason: String| UnreadablePatch::Malformed {
            path: path.to_owned(),
            title: patch.title.clone(),
            reason,
        };
        for file in patch.files().map_err(malformed)? {
            check(&file).map_err(malformed)?;
        }
    }
    Ok(patches)
}

/// The patches in a text. A mail without a diff, such as a cover letter, is none.
pub(super) fn parse(bytes: &[u8], name: &str) -> Vec<Patch> {
    let mails: Vec<Vec<u8>> = match bytes.starts_with(MAIL) {
        true => MessageIterator::new(bytes).flatten().map(|mail| mail.unwrap_contents()).collect(),
        false => vec![bytes.to_vec()],
    };
    let patches = mails.iter().map(|mail| of_mail(mail).unwrap_or_else(|| plain(mail, name)));
    patches.filter(Patch::has_diff).collect()
}

/// A mail with all of its text; `None` for what is no mail.
fn of_mail(bytes: &[u8]) -> Option<Patch> {
    let mail = MessageParser::default().parse(bytes)?;
    let subject = mail.subject()?;
    let count = mail.text_body_count();
    let attachments = mail.attachments().filter_map(|part| part.text_contents());
    let mut text: String = (0..count).filter_map(|part| mail.body_text(part)).collect::<Vec<_>>().join("\n");
    for attachment in attachments {
        text.push_str(attachment);
    }
    Some(Patch { title: without_tag(subject), text: text.replace("\r\n", "\n") })
}

fn plain(bytes: &[u8], name: &str) -> Patch {
    // As of mails: an editor or a download may have changed its ends of lines.
    Patch { title: name.to_owned(), text: String::from_utf8_lossy(bytes).replace("\r\n", "\n") }
}

/// A subject without the `[PATCH v2 1/3]` before it.
fn without_tag(subject: &str) -> String {
    let tagged = subject.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    tagged.map_or(subject, |(_, rest)| rest).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// That a file is one which can be patched.
fn check(file: &FilePatch<'_, str>) -> Result<(), String> {
    let paths = paths(file);
    let path = paths.last().map_or("", String::as_str);
    if file.patch().is_binary() {
        return Err(format!("it changes the binary file {path}"));
    }
    let leaves = |path: &String| path.starts_with('/') || path.split('/').any(|part| part == "..");
    if let Some(path) = paths.iter().find(|path| path.is_empty() || leaves(path)) {
        return Err(format!("it changes {path:?}, which is no file of a source"));
    }
    let has_hunks = file.patch().as_text().is_some_and(|diff| !diff.hunks().is_empty());
    match file.operation().is_modify() && !has_hunks && file.new_mode().is_none() {
        true => Err(format!("no line of {path} is changed: it may have been cut off")),
        false => Ok(()),
    }
}

/// The files that a part of a patch is about, from the folder of the source: before, and after.
fn paths(file: &FilePatch<'_, str>) -> Vec<String> {
    let both = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
    match file.operation().strip_prefix(1) {
        FileOperation::Delete(path) | FileOperation::Create(path) => vec![path.into_owned()],
        FileOperation::Modify { original, modified } => both(&original, &modified),
        // git names these without a/ and b/.
        FileOperation::Rename { .. } | FileOperation::Copy { .. } => match file.operation() {
            FileOperation::Rename { from, to } | FileOperation::Copy { from, to } => both(from, to),
            _ => Vec::new(),
        },
    }
}

impl Patch {
    /// A patch that is only a diff.
    #[cfg(test)]
    pub(crate) fn of_diff(text: &str) -> Patch {
        plain(text.as_bytes(), "a diff")
    }

    /// What it does to each file.
    pub(super) fn files(&self) -> Result<Vec<FilePatch<'_, str>>, String> {
        let options = match self.text.starts_with("diff --git ") || self.text.contains("\ndiff --git ") {
            true => ParseOptions::gitdiff(),
            false => ParseOptions::unidiff(),
        };
        let mut files = Vec::new();
        for file in PatchSet::parse(&self.text, options) {
            files.push(file.map_err(|error| self.misread(files.len(), &error.to_string()))?);
        }
        // Beside parts as git writes them, others are passed over.
        let with_hunks =
            files.iter().filter(|file| file.patch().as_text().is_some_and(|it| !it.hunks().is_empty()));
        let read = with_hunks.count();
        match self.headings() {
            headings if headings > read => Err(format!(
                "it changes {headings} files, of which {read} can be read: parts with `diff --git` stand beside parts \
                 without; `git diff` or `git format-patch` writes all of them alike"
            )),
            _ => Ok(files),
        }
    }

    /// How many files have lines changed, by what stands above these.
    fn headings(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_heading = |lines: &&[&str]| {
            lines[0].starts_with("--- ") && lines[1].starts_with("+++ ") && lines[2].starts_with("@@ -")
        };
        lines.windows(3).filter(is_heading).count()
    }

    /// Which of its files is not understood, and why.
    fn misread(&self, place: usize, error: &str) -> String {
        // Before the reason stand offsets, which begin anew in each part.
        let reason = error.rsplit(": ").next().unwrap_or(error);
        let hint = "; it may have been cut off, or changed by hand";
        match self.text.lines().filter_map(|line| line.strip_prefix("+++ ")).nth(place) {
            Some(path) => format!("in what is done to {path}: {reason}{hint}"),
            None => format!("{reason}{hint}"),
        }
    }

    /// The paths of the files that it touches, from the folder of the source, each once.
    pub fn touched(&self) -> Vec<String> {
        let mut touched: Vec<String> = self.files().unwrap_or_default().iter().flat_map(paths).collect();
        touched.sort();
        touched.dedup();
        touched
    }

    /// The hunk that a line of a patched file, from 1, stands in, or is nearest to.
    pub fn hunk_at(&self, path: &str, line: usize) -> Option<String> {
        let files = self.files().ok()?;
        let file = files.iter().find(|file| paths(file).last().is_some_and(|last| last == path))?;
        let hunks = file.patch().as_text()?.hunks();
        let distance = |range: std::ops::Range<usize>| match line {
            line if line < range.start => range.start - line,
            line if line >= range.end => line - range.end + 1,
            _ => 0,
        };
        let nearest = hunks.iter().enumerate().min_by_key(|(_, hunk)| distance(hunk.new_range().range()))?;
        let (place, hunk) = nearest;
        let lines: String = hunk
            .lines()
            .iter()
            .map(|line| match line {
                diffy::Line::Context(text) => format!(" {text}"),
                diffy::Line::Delete(text) => format!("-{text}"),
                diffy::Line::Insert(text) => format!("+{text}"),
            })
            .collect();
        let inside =
            if distance(hunk.new_range().range()) == 0 { "in" } else { "outside of all hunks; nearest is" };
        Some(format!(
            "{inside} hunk {} of {}, {path}:{}\n{lines}",
            place + 1,
            hunks.len(),
            hunk.new_range().start()
        ))
    }

    fn has_diff(&self) -> bool {
        // What begins like a diff and is none is told of later.
        self.text.lines().any(|line| line.starts_with("+++ ") || line.starts_with("diff --git "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- a/drivers/android/binder.c\n+++ b/drivers/android/binder.c\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n";

    fn mail(subject: &str, diff: &str) -> String {
        format!(
            "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\n\
             Date: Mon, 1 Jan 2024 00:00:00 +0000\nSubject: {subject}\n\nWhy.\n---\n f | 2 +-\n\n{diff}-- \n2.39.5\n\n"
        )
    }

    #[test]
    fn a_mailbox_holds_its_patches_in_their_order() {
        let git = format!("diff --git a/drivers/android/binder.c b/drivers/android/binder.c\n{DIFF}");
        let text = [
            mail("[PATCH 0/2] A cover letter", ""),
            mail("[PATCH 1/2] binder: first,\n and more", &git),
            mail("[PATCH 2/2] binder: second", DIFF),
        ];
        let patches = parse(text.concat().as_bytes(), "series.mbox");
        let titles: Vec<_> = patches.iter().map(|patch| patch.title.as_str()).collect();
        assert_eq!(titles, ["binder: first, and more", "binder: second"]);
        for patch in &patches {
            assert_eq!(patch.touched(), ["drivers/android/binder.c"]);
            assert_eq!(patch.files().unwrap()[0].patch().as_text().unwrap().hunks().len(), 1);
        }
    }

    #[test]
    fn parts_that_would_be_passed_over_are_refused() {
        let git = format!("diff --git a/drivers/android/binder.c b/drivers/android/binder.c\n{DIFF}");
        let plain = DIFF.replace("binder.c", "binder_alloc.c");
        for text in [[git.clone(), plain.clone()].concat(), [plain.clone(), git.clone()].concat()] {
            let refused = parse(text.as_bytes(), "mixed.patch")[0].files().unwrap_err();
            assert!(refused.starts_with("it changes 2 files, of which 1 can be read"), "{refused}");
        }
        for text in
            [[plain, DIFF.to_owned()].concat(), [git.clone(), git.replace("binder.c", "b.c")].concat()]
        {
            assert_eq!(parse(text.as_bytes(), "alike.patch")[0].files().unwrap().len(), 2);
        }
    }

    #[test]
    fn a_plain_diff_is_called_by_its_file() {
        let patches = parse(DIFF.as_bytes(), "fix.patch");
        assert_eq!(patches.len(), 1);
        assert_eq!(patches[0].title, "fix.patch");
        let hunk = patches[0].hunk_at("drivers/android/binder.c", 2).unwrap();
        assert_eq!(hunk, "in hunk 1 of 1, drivers/android/binder.c:1\n one\n-two\n+three\n");
    }

    #[test]
    fn ends_of_lines_do_not_matter() {
        for text in [DIFF.to_owned(), mail("binder: first", DIFF)] {
            assert_eq!(
                parse(text.replace('\n', "\r\n").as_bytes(), "fix.patch")[0].text,
                parse(text.as_bytes(), "fix.patch")[0].text
            );
        }
    }

    #[test]
    fn what_is_no_patch_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |text: &str| {
            let path = folder.path().join("fix.patch");
            std::fs::write(&path, text).unwrap();
            read(&path).unwrap_err().to_string()
        };
        assert!(refused(" \n").ends_with("is empty"));
        assert!(refused("hello\n").contains("holds no patch"));
        assert!(refused(&DIFF.replace("@@ -1,2 +1,2 @@", "@@ -1,9 +1,2 @@")).contains("not a whole patch"));
        let cut = format!("{DIFF}{}", &DIFF.replace("binder.c", "binderfs.c")[..DIFF.len() - 4]);
        let told = refused(&cut);
        assert!(told.contains("b/drivers/android/binderfs.c") && told.contains("cut off"), "{told}");
        let headers = DIFF.split("@@").next().unwrap();
        assert!(refused(headers).contains("no line of drivers/android/binder.c is changed"));
        assert!(refused(&mail("[PATCH 0/2] A cover letter", "")).ends_with("is a mail without a patch"));
        assert!(refused(&DIFF.replace("drivers/android", "../../etc")).contains("no file of a source"));
        let missing = read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("No such file"), "{missing}");
    }
}
