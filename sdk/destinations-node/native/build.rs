//! Sets the linker options of an addon.

use std::env::var;

fn main() {
    napi_build::setup();
    // The profile's `strip` would be another build of every dependency.
    if var("PROFILE").is_ok_and(|profile| profile == "release") {
        match var("CARGO_CFG_TARGET_OS").as_deref() {
            Ok("linux") => println!("cargo:rustc-cdylib-link-arg=-Wl,-s"),
            Ok("macos") => println!("cargo:rustc-cdylib-link-arg=-Wl,-x,-S"),
            _ => {}
        }
    }
}
