//! Has the crate built anew when a case, a page of the specification, a historical bug, or what is known of a driver is
//! added, changed or taken away.

fn main() {
    println!("cargo::rerun-if-changed=cases");
    println!("cargo::rerun-if-changed=divergences");
    println!("cargo::rerun-if-changed=expectations");
    println!("cargo::rerun-if-changed=../fuzz/findings");
    println!("cargo::rerun-if-changed=known-bugs");
    println!("cargo::rerun-if-changed=spec");
    println!("cargo::rerun-if-changed=unreached");
}
