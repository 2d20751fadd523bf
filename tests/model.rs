//! Random programs beside a naive model of what a group may and must do. `fuzz/` runs the same ones.

mod kit;
mod program;

use program::{Op, check};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngAlgorithm;

const OPS: usize = if cfg!(miri) { 30 } else { 120 };

fn op() -> impl Strategy<Value = Op> {
    any::<[u8; 4]>().prop_map(|bytes| Op::read(&mut bytes.into_iter()).expect("enough bytes"))
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 1_024 });
    config.failure_persistence = None;
    if cfg!(miri) {
        // The default one takes Miri longer than the test itself.
        config.rng_algorithm = RngAlgorithm::XorShift;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn group_does_as_the_model(ops in vec(op(), 0..OPS)) {
        check(&ops);
    }
}
