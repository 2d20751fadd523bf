//! The executors of `futures`, which have no timers and sockets: those of async-io serve.

mod async_io;

use async_io::AsyncIo;
use errgroup_runtimes::scenarios;
use futures::executor::{LocalPool, ThreadPool, block_on};
use futures::task::{LocalSpawnExt, SpawnExt};

mod local_pool {
    use super::*;

    scenarios!(local AsyncIo, |scenario| LocalPool::new().run_until(scenario));
}

mod spawned_on_local_pool {
    use super::*;

    scenarios!(local AsyncIo, |scenario| {
        let mut pool = LocalPool::new();
        let task = pool.spawner().spawn_local_with_handle(scenario).unwrap();
        pool.run_until(task)
    });
}

mod spawned_on_thread_pool {
    use super::*;

    scenarios!(AsyncIo, |scenario| {
        let pool = ThreadPool::builder().pool_size(2).create().unwrap();
        block_on(pool.spawn_with_handle(scenario).unwrap())
    });
}
