//! Scenarios that must hold on every runtime, what they need of one, and the macro that makes a test
//! of each.

mod scenarios;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use scenarios::*;
#[cfg(target_os = "linux")]
pub use watch::probe_io_uring;
pub use watch::{skip, within_time_limit};

/// The timers and sockets of a runtime.
///
/// Whether the futures are `Send` is left open: where scenarios are spawned on a runtime with several
/// threads, the compiler finds out.
#[expect(async_fn_in_trait, reason = "as said above")]
pub trait Runtime {
    type Listener;
    type Stream;

    async fn sleep(time: Duration);

    /// Listens on a free port of this machine.
    async fn listen() -> io::Result<(Self::Listener, SocketAddr)>;

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream>;

    async fn connect(address: SocketAddr) -> io::Result<Self::Stream>;

    async fn send(stream: &mut Self::Stream, message: u64) -> io::Result<()>;

    /// Waits for a message, or for the other side to go.
    async fn receive(stream: &mut Self::Stream) -> io::Result<u64>;
}

/// What a scenario returns, so that a test cannot end before its scenario, or say nothing of a skip.
#[must_use]
pub struct Ended;

/// Makes a test of every scenario.
///
/// `scenarios!(Timers, |scenario| block_on(scenario))` says whose timers and sockets to use, and how to
/// run a scenario to its end. With `local` in front, it may be one that is not `Send`.
#[macro_export]
macro_rules! scenarios {
    (local $runtime:ty, |$scenario:ident| $run:expr) => {
        $crate::scenarios!($runtime, |$scenario| $run);
        $crate::scenarios!(@tests $runtime, |$scenario| $run, children_share_what_is_not_send);
    };
    ($runtime:ty, |$scenario:ident| $run:expr) => {
        $crate::scenarios!(@tests $runtime, |$scenario| $run,
            failure_drops_siblings_that_wait_for_timers
            failure_closes_the_connections_of_siblings
            failure_goes_up_through_three_levels
            replies_are_right_and_the_limit_is_kept
            values_are_in_order_when_timers_end_in_another
            stream_runs_through_a_window
            wakes_from_other_threads_all_arrive
            children_that_threads_and_children_add_all_run
            wakes_reach_a_group_that_has_changed_tasks
            drop_while_pending_leaves_the_runtime_working
        );
    };
    (@tests $runtime:ty, |$scenario:ident| $run:expr, $($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                let test = concat!(module_path!(), "::", stringify!($name));
                let $crate::Ended = $crate::within_time_limit(test, || {
                    let $scenario = $crate::$name::<$runtime>();
                    $run
                });
            }
        )+
    };
}
