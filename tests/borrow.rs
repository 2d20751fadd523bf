//! Children may borrow from the caller, and the borrow ends with the group.

mod kit;

use std::cell::{Cell, RefCell};
use std::task::Poll;

use errgroup::Group;
use futures::executor::block_on;
use kit::Task;
use smol::future::yield_now;

#[test]
fn children_write_to_slots_of_the_caller() {
    let mut slots = [0; 50];
    let mut group = Group::new();
    for (id, slot) in slots.iter_mut().enumerate() {
        group.go(async move {
            yield_now().await;
            *slot = id * id;
            Ok::<(), ()>(())
        });
    }
    assert_eq!(block_on(group), Ok(()));
    assert!(slots.iter().enumerate().all(|(id, slot)| *slot == id * id));
}

#[test]
fn children_stored_in_place_write_to_slots_of_the_caller() {
    let mut slots = vec![String::new(); 50];
    let write = |(id, slot): (usize, &mut String)| {
        slot.push_str(&id.to_string());
        std::future::ready(Ok::<(), ()>(()))
    };
    let group: Group<_> = slots.iter_mut().enumerate().map(write).collect();
    assert_eq!(block_on(group), Ok(()));
    assert_eq!(slots[49], "49");
}

#[test]
fn borrow_ends_as_the_group_fails() {
    let mut written = Vec::new();
    let mut group = Group::new();
    let slot = &mut written;
    group.go(async move {
        slot.push("started");
        std::future::pending::<()>().await;
        slot.push("never");
        Ok(())
    });
    group.go(async { Err("failed") });
    assert_eq!(block_on(group), Err("failed"));
    written.push("after");
    assert_eq!(written, ["started", "after"]);
}

#[test]
fn borrow_ends_as_the_group_drops() {
    let mut count = 0;
    let mut group = Group::new();
    group.go(async {
        count += 1;
        std::future::pending::<Result<(), ()>>().await
    });
    assert!(Task::default().poll(&mut group).is_pending());
    drop(group);
    count += 1;
    assert_eq!(count, 2);
}

#[test]
fn local_children_share_what_is_not_send() {
    let (sum, names) = (Cell::new(0), RefCell::new(Vec::new()));
    let mut group = Group::new_local().with_limit(2);
    for name in ["a", "b", "c"] {
        let (sum, names) = (&sum, &names);
        group.go(async move {
            sum.set(sum.get() + 1);
            yield_now().await;
            names.borrow_mut().push(name);
            Ok::<(), ()>(())
        });
    }
    assert_eq!(block_on(&mut group), Ok(()));
    assert_eq!(sum.get(), 3);
    names.borrow_mut().sort_unstable();
    assert_eq!(*names.borrow(), ["a", "b", "c"]);
}

#[test]
fn values_borrowed_from_the_caller_come_out() {
    let words = ["one".to_string(), "two".to_string()];
    let mut group = Group::new();
    for word in &words {
        group.go(async move { word.as_str() });
    }
    let task = Task::default();
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some("one")));
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some("two")));
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
}
