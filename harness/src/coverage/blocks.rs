//! Blocks that nothing reached: lines of one function, one after the other, none of which ran.

use serde::Serialize;

use super::lines::Coverage;

/// Lines of one function that lie together and never ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    /// The file, by its name in the driver's folder.
    pub file: String,
    /// The function; empty where gcov knows of none.
    pub function: String,
    /// The first line.
    pub first: u32,
    /// The last line.
    pub last: u32,
    /// How many lines of it have code.
    pub lines: usize,
    /// Whether it is the whole function, which nobody called.
    pub whole: bool,
}

impl Block {
    /// All that there are, the largest first.
    pub fn all(coverage: &Coverage) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for (name, file) in &coverage.files {
            let mut open: Option<Block> = None;
            for (number, line) in &file.lines {
                let function = file.function_of(*number);
                let function_name = function.map_or("", |function| function.name.as_str());
                if line.runs.total() > 0 || open.as_ref().is_some_and(|block| block.function != function_name)
                {
                    blocks.extend(open.take());
                }
                if line.runs.total() > 0 {
                    continue;
                }
                let block = open.get_or_insert_with(|| Block {
                    file: name.clone(),
                    function: function_name.to_owned(),
                    first: *number,
                    last: *number,
                    lines: 0,
                    whole: function.is_some_and(|function| function.runs.total() == 0),
                });
                block.last = *number;
                block.lines += 1;
            }
            blocks.extend(open);
        }
        blocks
            .sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| (&a.file, a.first).cmp(&(&b.file, b.first))));
        blocks
    }

    /// Where it lies, such as `binder.c:12-34`.
    pub fn place(&self) -> String {
        match self.last == self.first {
            true => format!("{}:{}", self.file, self.first),
            false => format!("{}:{}-{}", self.file, self.first, self.last),
        }
    }

    /// Whether a line is one of it.
    pub fn has(&self, file: &str, line: u32) -> bool {
        self.file == file && (self.first..=self.last).contains(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::lines::tests::coverage;

    #[test]
    fn blocks_are_what_never_ran_and_nothing_else() {
        let coverage = coverage();
        let blocks = Block::all(&coverage);
        for (name, file) in &coverage.files {
            for (number, line) in &file.lines {
                let within = blocks.iter().filter(|block| block.has(name, *number)).count();
                assert_eq!(within, usize::from(line.runs.total() == 0), "{name}:{number}");
            }
        }
        assert!(blocks.is_sorted_by(|a, b| a.lines >= b.lines));
        let whole: Vec<&str> =
            blocks.iter().filter(|block| block.whole).map(|block| block.function.as_str()).collect();
        assert_eq!(whole, ["never"]);
    }
}
