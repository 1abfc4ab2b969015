//! Sets `cfg(leasehold_simulation)`: the library then takes random bits and clocks from the simulation.

fn main() {
    println!("cargo::rustc-cfg=leasehold_simulation");
    // The simulation has no backend on etcd, so it is no feature of this package.
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"etcd\"))");
    println!("cargo::rerun-if-changed=build.rs");
}
