//! Has the crate built anew when a case is added, changed or taken away.

fn main() {
    println!("cargo::rerun-if-changed=cases");
}
