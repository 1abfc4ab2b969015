//! Sets `cfg(leasehold_simulation)`: the library then takes random bits and clocks from the simulation.

fn main() {
    println!("cargo::rustc-cfg=leasehold_simulation");
    println!("cargo::rerun-if-changed=build.rs");
}
