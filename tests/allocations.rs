//! What a group allocates: pages now and then, and nothing for a wake, a poll or a replacement.

use std::{
    future::{Ready, poll_fn, ready},
    hint::black_box,
    panic::catch_unwind,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::{AllocationInfo, measure};
use errgroup::{Group, Handle};

fn poll_next<F: Future>(group: &mut Group<F>) -> Poll<Option<F::Output>> {
    Pin::new(&mut group.next()).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn empty_group_is_none() {
    let info = measure(|| {
        drop(black_box(Group::<Ready<()>>::unboxed()));
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn three_children_are_one() {
    let info = measure(|| {
        let mut group = Group::unboxed();
        for _ in 0..3 {
            group.push(ready(()));
        }
        while let Poll::Ready(Some(())) = poll_next(&mut group) {}
        assert_eq!(group.finished(), 3);
    });
    assert_eq!(info.count_total, 1);
    assert_eq!(info.count_current, 0, "the page is not freed");
}

/// The children whose `push` allocates.
fn pages<T: Clone>(value: T) -> Vec<usize> {
    let mut group = Group::unboxed();
    let allocates = |_: &usize| measure(|| _ = group.push(ready(value.clone()))).count_total > 0;
    (0..60).filter(allocates).collect()
}

#[test]
fn pages_begin_with_fewer_slots_for_large_children_and_double() {
    assert_eq!(pages([0_u64; 6]), [0, 8, 24, 56]);
    assert_eq!(pages([0_u64; 7]), [0, 4, 12, 28]);
}

#[test]
fn three_boxed_children_are_three_more() {
    let info = measure(|| {
        let mut group = Group::new();
        for n in 0..3 {
            group.go(async move { black_box(n) });
        }
        while let Poll::Ready(Some(_)) = poll_next(&mut group) {}
        assert_eq!(group.finished(), 3);
    });
    assert_eq!(info.count_total, 4);
    assert_eq!(info.count_current, 0);
}

#[test]
fn child_in_the_place_of_another_is_none() {
    const REPLACED: usize = if cfg!(miri) { 150 } else { 1_000 };
    let mut group: Group<Ready<usize>> = (0..100).map(ready).collect();
    let info = measure(|| {
        for n in 0..REPLACED {
            assert!(poll_next(&mut group).is_ready());
            group.push(ready(n));
        }
    });
    assert_eq!(info, AllocationInfo::default());
}

#[test]
fn wake_and_poll_are_none() {
    let mut group: Group<_> = (0..100)
        .map(|_| {
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            })
        })
        .collect();
    assert!(poll_next(&mut group).is_pending());
    let info = measure(|| {
        for _ in 0..100 {
            assert!(poll_next(&mut group).is_pending());
        }
    });
    assert_eq!(info, AllocationInfo::default());
}

#[test]
fn sixteen_bytes_for_a_child_are_enough_at_a_thousand() {
    const CHILDREN: usize = 1_000;
    let info = measure(|| {
        let mut group = Group::unboxed();
        for n in 0..CHILDREN {
            group.push(ready([n; 4]));
        }
        black_box(&group);
    });
    let children = CHILDREN * size_of::<Ready<[usize; 4]>>();
    let bytes = size_of::<Group<()>>() + info.bytes_max as usize - children;
    assert!(bytes <= 16 * CHILDREN, "{bytes} bytes for {CHILDREN} children");
}

#[test]
fn extending_one_by_one_allocates_as_pushing_does() {
    const CHILDREN: usize = if cfg!(miri) { 500 } else { 10_000 };
    let count = |add: fn(&mut Group<Ready<usize>>, usize)| {
        let info = measure(|| {
            let mut group = Group::unboxed();
            (0..CHILDREN).for_each(|n| add(&mut group, n));
        });
        (info.count_total, info.bytes_total)
    };
    let pushed = count(|group, n| {
        group.push(ready(n));
    });
    let extended = count(|group, n| group.extend([ready(n)]));
    assert_eq!(extended, pushed);
}

#[test]
fn capacity_is_room_for_so_many() {
    for capacity in [1, 8, 16, 17, 100, 1_000] {
        let mut group = Group::with_capacity(capacity);
        let info = measure(|| {
            (0..capacity).for_each(|n| {
                group.push(ready(n));
            })
        });
        assert_eq!(info.count_total, 0, "{capacity}");
    }
}

#[test]
fn capacity_is_not_much_more() {
    for capacity in [1, 17, 33, 100, 1_000] {
        let info = measure(|| drop(black_box(Group::<Ready<[u64; 128]>>::with_capacity(capacity))));
        let child = size_of::<Ready<[u64; 128]>>() + 16;
        let bytes = info.bytes_total as usize;
        assert!(bytes <= capacity * child + 4_096, "{bytes} bytes for {capacity}");
    }
}

#[test]
fn small_capacity_is_one() {
    for capacity in [1, 3, 8] {
        let info = measure(|| drop(black_box(Group::<Ready<()>>::with_capacity(capacity))));
        assert_eq!(info.count_total, 1);
    }
}

#[test]
fn capacity_that_cannot_be_is_refused_before_it_allocates() {
    let info = measure(|| {
        assert!(catch_unwind(|| Group::<Ready<()>>::with_capacity(usize::MAX)).is_err());
    });
    // The panic may print a backtrace, which takes some.
    assert!(info.bytes_max < 1 << 30, "{info:?}");
}

#[test]
fn room_that_was_made_is_used_also_after_a_removal() {
    let mut group = Group::with_capacity(100);
    let keys: Vec<_> = (0..100).map(|n| group.push(ready(n))).collect();
    assert!(group.remove(keys[20]));
    let info = measure(|| group.extend((0..33).map(ready)));
    assert_eq!(info.count_total, 1);
}

#[test]
fn queue_does_not_keep_the_removed() {
    const REMOVED: usize = if cfg!(miri) { 1_000 } else { 100_000 };
    let mut group = Group::unboxed().with_limit(1);
    group.push(ready(0));
    let info = measure(|| {
        for n in 0..REMOVED {
            let key = group.push(ready(n));
            assert!(group.remove(key));
        }
    });
    assert!(info.bytes_max < 10_000, "{info:?}");
}

/// The keys of children that were removed while they were queued go as well.
#[test]
fn queue_of_children_that_come_and_go_stays_small() {
    let mut group = Group::unboxed().with_limit(1);
    group.push(ready(0));
    let info = measure(|| {
        for n in 0..if cfg!(miri) { 200 } else { 10_000 } {
            let queued = group.push(ready(n));
            assert!(group.remove(queued));
        }
    });
    assert!(info.bytes_max <= 1024, "{} bytes", info.bytes_max);
}

/// What is allocated by the join alone, from its first poll on.
fn measure_join<J: Future + Unpin>(mut join: J, check: impl FnOnce(J::Output)) -> AllocationInfo {
    let mut cx = Context::from_waker(Waker::noop());
    let mut output = Poll::Pending;
    let info = measure(|| {
        while output.is_pending() {
            output = Pin::new(&mut join).poll(&mut cx);
        }
    });
    let Poll::Ready(output) = output else { unreachable!() };
    check(output);
    info
}

/// Yields once if its number is even, so that the odd ones are done first.
fn even_later(n: usize) -> impl Future<Output = Result<usize, usize>> {
    let mut yields = n % 2 == 0;
    poll_fn(move |cx| {
        if yields {
            yields = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(n))
    })
}

#[test]
fn joined_values_are_one() {
    for n in [1, 2, 3, 10, 100] {
        let in_order: Group<_> = (0..n).map(|n| ready(Ok::<_, ()>(n))).collect();
        let info = measure_join(in_order.try_join(), |values| assert_eq!(values.unwrap().len(), n));
        assert_eq!(info.count_total, 1, "{n} in order");

        let out_of_order: Group<_> = (0..n).map(even_later).collect();
        let info = measure_join(out_of_order.join(), |values| {
            assert_eq!(values, (0..n).map(Ok).collect::<Vec<_>>());
        });
        assert_eq!(info.count_total, 1, "{n} out of order");
    }
}

/// Where the options take the space of a whole number of values, there is nothing to give back.
#[test]
fn joined_values_are_one_and_reallocated_where_space_is_left() {
    type Pair = [u64; 2];
    for n in [1, 2, 3, 4, 100, 101] {
        let pairs: Group<_> = (0..n).map(|n| ready(Ok::<Pair, ()>([n as u64; 2]))).collect();
        let info = measure_join(pairs.try_join(), |pairs| assert_eq!(pairs.unwrap().len(), n));
        let left = n * size_of::<Option<Pair>>() % size_of::<Pair>();
        assert_eq!(info.count_total, 1 + u64::from(left > 0), "{n}");
    }
}

#[test]
fn joined_values_are_one_where_others_were_done_or_removed_before() {
    let mut group: Group<_> = (0..100).map(even_later).collect();
    for n in (1..100).step_by(2) {
        assert_eq!(poll_next(&mut group), Poll::Ready(Some(Ok(n))));
    }
    assert_eq!(group.len(), 50);
    let info = measure_join(group.try_join(), |values| {
        assert_eq!(values.unwrap(), (0..100).step_by(2).collect::<Vec<_>>());
    });
    assert_eq!(info.count_total, 1);
}

#[test]
fn joined_values_are_two_where_slots_were_used_again() {
    let mut group: Group<_> = (0..100).map(even_later).collect();
    assert_eq!(poll_next(&mut group), Poll::Ready(Some(Ok(1))));
    group.push(even_later(100));
    let info = measure_join(group.try_join(), |values| {
        assert_eq!(values.unwrap(), (0..=100).filter(|n| *n != 1).collect::<Vec<_>>());
    });
    assert_eq!(info.count_total, 2);
}

#[test]
fn first_success_is_none_and_a_quorum_is_one() {
    let group: Group<_> = (0..100).map(even_later).collect();
    let info = measure_join(group.race_ok(), |value| assert_eq!(value, Ok(1)));
    assert_eq!(info.count_total, 0);

    let group: Group<_> = (0..100).map(even_later).collect();
    let info = measure_join(group.quorum(3), |values| assert_eq!(values, Ok(vec![1, 3, 5])));
    assert_eq!(info.count_total, 1);
}

#[test]
fn awaited_group_is_none() {
    let group: Group<_> = (0..100).map(|_| ready(Ok::<(), ()>(()))).collect();
    assert_eq!(measure_join(group, |outcome| assert_eq!(outcome, Ok(()))).count_total, 0);
}

#[test]
fn handle_is_one_allocation_for_its_group_and_one_for_each_add_between_polls() {
    let mut group = Group::unboxed();
    group.push(ready(()));
    let info = measure(|| drop(group.handle().clone()));
    assert_eq!(info.count_total, 1);
    let handle = group.handle();
    let info = measure(|| (0..100).for_each(|_| handle.push(ready(())).unwrap()));
    assert_eq!(info.count_total, 100);
    let info = measure(|| {
        drop(handle);
        drop(group);
    });
    assert_eq!(info.count_total, 0);
}

/// Each child takes the slot of the one that is done: two allocations for the rows, or one for each child
/// where threads cannot be told apart.
#[test]
fn chain_of_children_that_add_the_next_is_two_allocations() {
    struct Chain(usize, Handle<Self>);

    impl Future for Chain {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if self.0 > 0 {
                self.1.push(Chain(self.0 - 1, self.1.clone())).unwrap();
            }
            Poll::Ready(())
        }
    }

    let mut group = Group::unboxed();
    let handle = group.handle();
    group.push(Chain(1_000, handle));
    let info = measure(|| while let Poll::Ready(Some(())) = poll_next(&mut group) {});
    let all = if cfg!(feature = "std") { 2 } else { 1_000 };
    assert_eq!((group.finished(), info.count_total), (1_001, all));
    drop(group);
}

#[test]
fn scope_is_five_allocations() {
    let info = measure(|| {
        let mut scope = errgroup::scope(|_| ready(Ok::<_, ()>("value")));
        let poll = Pin::new(&mut scope).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(poll, Poll::Ready(Ok("value")));
    });
    assert_eq!((info.count_total, info.count_current), (5, 0));
}
