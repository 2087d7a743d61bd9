//! Styles: how what matters stands out on a terminal. Where there is none, the stream takes them out again.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};

/// What went well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What went wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What was left out.
pub(super) const ASIDE: Style = AnsiColor::Yellow.on_default().bold();
/// What names something.
pub(super) const NAME: Style = Style::new().bold();
/// What is there to be skimmed.
pub(super) const FAINT: Style = Style::new().dimmed();

/// Text in a style.
pub(super) struct Styled<T>(pub(super) Style, pub(super) T);

impl<T: Display> Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Styled(style, text) = self;
        write!(f, "{style}{text}{style:#}")
    }
}
