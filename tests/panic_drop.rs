//! A child whose drop panics: the others are still dropped, once each, and the panic goes on. In
//! FuturesUnordered and FutureGroup they leak (see also futures-rs issue 2863, a use after free).

mod kit;

use std::iter;

use errgroup::{Group, Key};
use kit::{Act, Cast, Child, Task, panic_of};

/// Every position among 5, and some among 70, on both sides of a word and of a page; for Miri among
/// 26, on both sides of a page.
fn positions() -> impl Iterator<Item = (usize, usize)> {
    let some: &[usize] =
        if cfg!(miri) { &[7, 8, 24, 25] } else { &[0, 1, 31, 32, 33, 62, 63, 64, 65, 69] };
    let n = if cfg!(miri) { 26 } else { 70 };
    iter::zip(iter::repeat(5), 0..5).chain(iter::zip(iter::repeat(n), some.iter().copied()))
}

fn polled_group(cast: &Cast, task: &Task) -> (Group<Child>, Vec<Key>) {
    let mut group = Group::unboxed();
    let keys = cast.children().map(|child| group.push(child)).collect();
    assert!(task.poll(&mut group).is_pending());
    (group, keys)
}

#[test]
fn drop_panics_as_the_child_succeeds_or_fails() {
    for ((n, bad), end) in positions().flat_map(|at| [(at, Act::Succeed), (at, Act::Fail)]) {
        let (cast, task) = (Cast::new(n), Task::default());
        let (mut group, _) = polled_group(&cast, &task);
        cast.arm(bad);
        cast.tell(bad, end);
        cast.wake(bad);

        let text = panic_of(|| task.poll(&mut group));
        assert_eq!(text, format!("drop of child {bad}"));
        cast.assert_all_dropped_once();
        assert!(group.is_empty());
    }
}

#[test]
fn drop_panics_on_the_failure_of_a_sibling() {
    for (n, bad) in positions() {
        for failed in [0, n / 2, n - 1] {
            if failed == bad {
                continue;
            }
            let (cast, task) = (Cast::new(n), Task::default());
            let (mut group, _) = polled_group(&cast, &task);
            cast.arm(bad);
            cast.tell(failed, Act::Fail);
            cast.wake(failed);

            let text = panic_of(|| task.poll(&mut group));
            assert_eq!(text, format!("drop of child {bad}"));
            cast.assert_all_dropped_once();
            assert!(group.is_empty());
        }
    }
}

#[test]
fn drop_panics_in_clear() {
    for (n, bad) in positions() {
        let (cast, task) = (Cast::new(n), Task::default());
        let (mut group, _) = polled_group(&cast, &task);
        cast.arm(bad);

        let text = panic_of(|| group.clear());
        assert_eq!(text, format!("drop of child {bad}"));
        assert_eq!(cast.dropped(), Vec::from_iter(0..n));
        assert!(group.is_empty());
        drop(group);
        cast.assert_all_dropped_once();
    }
}

#[test]
fn drop_panics_in_remove() {
    for (n, bad) in positions() {
        let (cast, task) = (Cast::new(n), Task::default());
        let (mut group, keys) = polled_group(&cast, &task);
        cast.arm(bad);

        let text = panic_of(|| group.remove(keys[bad]));
        assert_eq!(text, format!("drop of child {bad}"));
        assert_eq!(cast.drops(bad), 1);
        assert!(!group.remove(keys[bad]));
        drop(group);
        cast.assert_all_dropped_once();
    }
}

#[test]
fn drop_panics_in_remove_of_a_queued_child() {
    let (cast, task) = (Cast::new(4), Task::default());
    let mut group = Group::unboxed().with_limit(2);
    let keys: Vec<_> = cast.children().map(|child| group.push(child)).collect();
    assert!(task.poll(&mut group).is_pending());
    cast.arm(2);

    assert_eq!(panic_of(|| group.remove(keys[2])), "drop of child 2");
    drop(group);
    cast.assert_all_dropped_once();
    assert_eq!(cast.polled(), [0, 1]);
}

#[test]
fn drop_panics_as_the_group_drops() {
    for (n, bad) in positions() {
        let (cast, task) = (Cast::new(n), Task::default());
        let (group, _) = polled_group(&cast, &task);
        cast.arm(bad);

        let text = panic_of(|| drop(group));
        assert_eq!(text, format!("drop of child {bad}"));
        assert_eq!(cast.dropped(), Vec::from_iter(0..n));
        cast.forget_wakers();
        assert_eq!(task.wakers(), 0);
    }
}

#[test]
fn drop_of_a_queued_child_panics_as_the_group_drops() {
    for bad in 0..8 {
        let (cast, task) = (Cast::new(8), Task::default());
        let mut group = Group::unboxed().with_limit(3);
        group.extend(cast.children());
        assert!(task.poll(&mut group).is_pending());
        cast.arm(bad);

        let text = panic_of(|| drop(group));
        assert_eq!(text, format!("drop of child {bad}"));
        cast.assert_all_dropped_once();
    }
}

#[test]
fn group_that_survives_its_child_is_usable() {
    let (cast, task) = (Cast::new(6), Task::default());
    let mut group: Group<Child> = (0..5).map(|id| cast.child(id)).collect();
    assert!(task.poll(&mut group).is_pending());
    cast.arm(2);
    assert_eq!(panic_of(|| group.clear()), "drop of child 2");

    group.push(cast.child(5));
    assert!(task.poll_while_woken(&mut group).is_pending());
    cast.tell(5, Act::Succeed);
    cast.wake(5);
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut group).is_ready());
    cast.assert_all_dropped_once();
}
