//! binderdrill: a conformance and fuzzing harness for the Android Binder driver.

pub mod engine;
pub mod program;
pub mod script;
pub mod target;
