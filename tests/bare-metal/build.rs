//! The memory of the chip, for the linker script of cortex-m-rt.

use std::{env, fs, path::PathBuf};

fn main() {
    // Both chips have their flash and their RAM at the same addresses.
    let (ram, stack) = match env::var("TARGET").unwrap().as_str() {
        "thumbv6m-none-eabi" => (16, 3),
        "thumbv7m-none-eabi" => (64, 4),
        target => panic!("no chip is known for {target}"),
    };
    // The stack lies below all else: where it overflows there is no memory, and the chip stops.
    let memory = format!(
        "MEMORY
{{
    FLASH : ORIGIN = 0x00000000, LENGTH = 256K
    STACK : ORIGIN = 0x20000000, LENGTH = {stack}K
    RAM : ORIGIN = 0x20000000 + {stack}K, LENGTH = {ram}K - {stack}K
}}
_stack_start = ORIGIN(STACK) + LENGTH(STACK);
_stack_end = ORIGIN(STACK);
"
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    fs::write(out.join("memory.x"), memory).unwrap();
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed=build.rs");
}
