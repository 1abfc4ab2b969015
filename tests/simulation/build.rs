//! Compiles the library with the outside world of a simulation.

fn main() {
    println!("cargo::rustc-cfg=leasehold_simulation");
    println!("cargo::rerun-if-changed=build.rs");
}
