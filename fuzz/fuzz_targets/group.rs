//! The programs of `tests/model.rs`, found by coverage.

#![no_main]

#[path = "../../tests/kit/mod.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest")]
mod kit;
#[path = "../../tests/program/mod.rs"]
mod program;

use std::iter;

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use program::{Op, check};

#[derive(Debug)]
struct Program(Vec<Op>);

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Program> {
        let mut bytes = bytes.bytes(bytes.len())?.iter().copied();
        Ok(Program(iter::from_fn(|| Op::read(&mut bytes)).collect()))
    }
}

fuzz_target!(|program: Program| check(&program.0));
