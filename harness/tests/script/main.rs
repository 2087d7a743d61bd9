//! Tests of the script language as its users meet it: through `parse`, `print` and what is shown of errors.

mod arbitrary;
mod canonical;
mod diagnostics;
mod documentation;
mod laws;
