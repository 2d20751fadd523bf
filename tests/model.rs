//! Random programs beside a naive model of what a group may and must do. `fuzz/` runs the same ones.

mod kit;
mod program;

use program::{Op, check};
use proptest::collection::vec;
use proptest::prelude::*;

fn op() -> impl Strategy<Value = Op> {
    any::<[u8; 4]>().prop_map(|bytes| Op::read(&mut bytes.into_iter()).expect("enough bytes"))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 1_024 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn group_does_as_the_model(ops in vec(op(), 0..if cfg!(miri) { 30 } else { 120 })) {
        check(&ops);
    }
}
