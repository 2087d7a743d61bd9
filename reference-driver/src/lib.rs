//! The Android Binder driver as a pure, deterministic state machine.

pub mod uapi;
