//! Programs for a group, and the check that runs one: beside a model, and again with a naive group
//! in place of the real one. `tests/model.rs` and `fuzz/` share it.

mod child;
mod handle;
mod model;
mod naive;
mod run;

use errgroup::Group;

use child::Child;
use naive::Naive;
use run::Run;

/// One step of a program. A number names one of those that are there, whatever their count is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Push(Script),
    PushMany {
        count: usize,
        script: Script,
    },
    TryPush(Script),
    /// Adds many without keys.
    Extend {
        count: usize,
        script: Script,
    },
    /// Adds a child that is a group of such children.
    PushGroup {
        count: u8,
        /// Whether the program keeps a handle of it.
        with_handle: bool,
        script: Script,
    },
    /// Takes a handle, and keeps it.
    Handle,
    DropHandle(u8),
    /// Adds by a handle, perhaps of another group or of one that has ended.
    PushBy {
        by: u8,
        script: Script,
    },
    TryPushBy {
        by: u8,
        script: Script,
    },
    PushManyBy {
        by: u8,
        count: usize,
        script: Script,
    },
    /// Gives a living child a new script, and wakes it.
    Tell {
        whom: u8,
        script: Script,
    },
    Wake {
        whom: Whom,
        how: How,
    },
    DropWaker(Whom),
    /// Removes with a key that may be stale.
    Remove(u8),
    /// Removes with this key and those of the children that were added next.
    RemoveMany {
        first: u8,
        count: usize,
    },
    Clear,
    Limit(Option<usize>),
    /// Polls once: the group itself, or else its `next()`; as one task or the other.
    Poll {
        whole: bool,
        other_task: bool,
    },
    /// Polls until nothing is left to do.
    Drive {
        whole: bool,
        other_task: bool,
    },
    /// Exchanges the group with a second one, which moves both.
    Swap,
    /// Drops the group and begins another one.
    Replace {
        capacity: u8,
    },
}

/// What a child does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) plan: Plan,
    pub(crate) touch: Touch,
    /// Whether its drop panics.
    pub(crate) explosive: bool,
}

/// What a child does when it is polled after a wake; it ignores other polls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan {
    Wait,
    /// Wakes itself a few times, then is `Ok`.
    Yield(u8),
    Succeed,
    Fail,
    Panic,
}

/// What a child does, once, to a waker of a living child or by a handle.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Touch {
    Nothing,
    WakeInPoll(u8),
    DropInPoll(u8),
    WakeInDrop(u8),
    AddInPoll(Add),
    AddInDrop(Add),
}

/// How a child adds another by a handle, which does as it does itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Add {
    pub(crate) by: u8,
    pub(crate) tries: bool,
    /// How many there are to be, each added by the one before.
    pub(crate) line: u8,
    /// Whether it does so in its own group alone.
    pub(crate) at_home: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Whom {
    Living(u8),
    Dead(u8),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Borrow,
    Consume,
    Clone,
}

/// Runs the program, and panics where a group does what it must not.
pub(crate) fn check(ops: &[Op]) {
    // More than one poll may poll, but not under Miri: that takes too long.
    Run::<Group<Child>>::new(if cfg!(miri) { 60 } else { 400 }).run(ops);

    // Few, as to poll everything is slow. Under a limit, it would matter in which order children add others:
    // there is either the one or the other.
    for limited in [false, true] {
        let settled: Vec<Op> = ops.iter().copied().map(|op| op.settled(limited)).collect();
        let real = Run::<Group<Child>>::new(60).run(&settled);
        let naive = Run::<Naive>::new(60).run(&settled);
        assert_eq!(real, naive, "a group that polls everything ends otherwise: {settled:?}");
    }
}

impl Op {
    /// The next step of a program in bytes, four at most. What is good to have often takes more of
    /// their values.
    pub(crate) fn read(bytes: &mut impl Iterator<Item = u8>) -> Option<Op> {
        let kind = bytes.next()?;
        let (whole, other_task) = (kind & 64 != 0, kind & 128 != 0);
        Some(match kind % 64 {
            0..10 => Op::Push(Script::read(bytes)?),
            10 => Op::PushMany { count: Op::count(bytes)?, script: Script::read(bytes)? },
            11 => Op::Extend { count: Op::count(bytes)?, script: Script::read(bytes)? },
            12..14 => Op::TryPush(Script::read(bytes)?),
            14..16 => {
                let count = bytes.next()?;
                let (count, with_handle) = (count % 8, count >= 128);
                Op::PushGroup { count, with_handle, script: Script::read(bytes)? }
            }
            16..21 => Op::Tell { whom: bytes.next()?, script: Script::read(bytes)? },
            21..24 => Op::PushBy { by: bytes.next()?, script: Script::read(bytes)? },
            24..26 => Op::TryPushBy { by: bytes.next()?, script: Script::read(bytes)? },
            26..31 => Op::Wake { whom: Whom::read(bytes)?, how: How::read(bytes)? },
            31 => Op::PushManyBy {
                by: kind / 64,
                count: Op::count(bytes)?,
                script: Script::read(bytes)?,
            },
            32..35 => Op::Handle,
            35 => Op::DropHandle(bytes.next()?),
            36..38 => Op::DropWaker(Whom::read(bytes)?),
            38..43 => Op::Remove(bytes.next()?),
            43 => Op::RemoveMany { first: bytes.next()?, count: Op::count(bytes)? },
            44 => Op::Clear,
            45..47 => Op::Limit(match bytes.next()? % 6 {
                0 => None,
                limit => Some(limit.into()),
            }),
            47 => Op::Replace { capacity: bytes.next()? % 100 },
            48..50 => Op::Swap,
            50..55 => Op::Drive { whole, other_task },
            _ => Op::Poll { whole, other_task },
        })
    }

    /// Enough to fill some pages; now and then, to be more than one poll may poll.
    fn count(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
        let count = usize::from(bytes.next()?);
        Some(if count < 240 { count % 48 } else { 20 * (count - 235) })
    }

    /// A like step, after which the order of polls does not matter: all there is to do is done,
    /// whoever was polled has a waker, and nobody finds a group at its limit, or at its end, that might not
    /// have been there yet.
    fn settled(mut self, limited: bool) -> Op {
        match &mut self {
            Op::Poll { whole, other_task } => {
                return Op::Drive { whole: *whole, other_task: *other_task };
            }
            Op::DropWaker(whom) | Op::Wake { whom, .. } => {
                return Op::Wake { whom: *whom, how: How::Borrow };
            }
            Op::Limit(limit) if !limited => *limit = None,
            Op::PushGroup { with_handle, .. } => *with_handle = false,
            _ => {}
        }
        match &mut self {
            Op::Push(script)
            | Op::TryPush(script)
            | Op::PushMany { script, .. }
            | Op::Extend { script, .. }
            | Op::PushGroup { script, .. }
            | Op::PushBy { script, .. }
            | Op::TryPushBy { script, .. }
            | Op::PushManyBy { script, .. }
            | Op::Tell { script, .. } => match &mut script.touch {
                Touch::DropInPoll(whom) => script.touch = Touch::WakeInPoll(*whom),
                Touch::AddInPoll(_) | Touch::AddInDrop(_) if limited => {
                    script.touch = Touch::Nothing;
                }
                Touch::AddInPoll(add) | Touch::AddInDrop(add) => add.at_home = true,
                _ => {}
            },
            _ => {}
        }
        self
    }
}

impl Script {
    fn read(bytes: &mut impl Iterator<Item = u8>) -> Option<Script> {
        let (what, touch) = (bytes.next()?, bytes.next()?);
        let whom = touch % 32;
        Some(Script {
            plan: match what % 16 {
                0..6 => Plan::Wait,
                times @ 6..10 => Plan::Yield(times - 5),
                10..14 => Plan::Succeed,
                14 => Plan::Fail,
                _ => Plan::Panic,
            },
            touch: match touch / 32 {
                0 | 1 => Touch::Nothing,
                2 => Touch::AddInPoll(Add::of(whom)),
                3 => Touch::AddInDrop(Add::of(whom)),
                4 | 5 => Touch::WakeInPoll(whom),
                6 => Touch::DropInPoll(whom),
                _ => Touch::WakeInDrop(whom),
            },
            explosive: what / 16 == 15,
        })
    }
}

impl Touch {
    /// How the child adds others, if it does.
    fn add(self) -> Option<Add> {
        match self {
            Touch::AddInPoll(add) | Touch::AddInDrop(add) => Some(add),
            _ => None,
        }
    }
}

impl Add {
    /// By one of eight handles; now and then so many that one poll does not suffice.
    fn of(whom: u8) -> Add {
        let (tries, line) =
            [(false, 1), (true, 1), (false, 4), (false, 150)][usize::from(whom / 8)];
        Add { by: whom % 8, tries, line, at_home: false }
    }
}

impl Whom {
    fn read(bytes: &mut impl Iterator<Item = u8>) -> Option<Whom> {
        let whom = bytes.next()?;
        Some(if whom < 192 { Whom::Living(whom) } else { Whom::Dead(whom - 192) })
    }
}

impl How {
    fn read(bytes: &mut impl Iterator<Item = u8>) -> Option<How> {
        Some([How::Borrow, How::Consume, How::Clone][usize::from(bytes.next()? % 3)])
    }
}
