//! smol, whose executors are those of async-executor.

mod async_io;

use async_io::AsyncIo;
use errgroup_runtimes::scenarios;

mod block_on {
    use super::*;

    scenarios!(local AsyncIo, |scenario| smol::block_on(scenario));
}

mod spawned {
    use super::*;

    scenarios!(AsyncIo, |scenario| smol::block_on(smol::spawn(scenario)));
}

mod spawned_local {
    use super::*;

    scenarios!(local AsyncIo, |scenario| {
        let executor = smol::LocalExecutor::new();
        smol::block_on(executor.run(executor.spawn(scenario)))
    });
}
