//! pollster, which has no timers and sockets: those of async-io serve.

mod async_io;

use async_io::AsyncIo;
use errgroup_runtimes::scenarios;

mod block_on {
    use super::*;

    scenarios!(local AsyncIo, |scenario| pollster::block_on(scenario));
}
