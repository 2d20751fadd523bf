//! Policies: what the outcome of a group's children is, and when it is known.
//!
//! Those of the ways to join are here by name so that yours can be made of them:
//!
//! ```
//! use errgroup::{Group, Policy, policy::AllOk};
//! use std::ops::ControlFlow;
//!
//! /// Calls back with the number of children left, and leaves the outcome to another policy.
//! struct Progress<F, P>(F, P);
//!
//! impl<O, F: FnMut(usize), P: Policy<O>> Policy<O> for Progress<F, P> {
//!     type Output = P::Output;
//!
//!     fn start(&mut self, children: usize) -> ControlFlow<P::Output> {
//!         (self.0)(children);
//!         self.1.start(children)
//!     }
//!
//!     fn child_done(&mut self, index: usize, output: O, left: usize) -> ControlFlow<P::Output> {
//!         (self.0)(left);
//!         self.1.child_done(index, output, left)
//!     }
//!
//!     fn finish(self) -> P::Output {
//!         self.1.finish()
//!     }
//! }
//!
//! let mut lefts = Vec::new();
//! let group: Group<_> = (0..3).map(|n| async move { Ok::<_, ()>(n) }).collect();
//! let join = group.join_with(Progress(|left| lefts.push(left), AllOk::default()));
//! assert_eq!(smol::block_on(join), Ok(vec![0, 1, 2]));
//! assert_eq!(lefts, [3, 2, 1, 0]);
//! ```

use alloc::vec::{self, Vec};
use core::{
    error::Error,
    fmt, iter, mem,
    ops::{ControlFlow, Deref},
    slice,
};

/// What the outcome of a group's children is, and how early it is known.
///
/// The group tells the policy of each child that is done, and the policy says whether to go on. When
/// it breaks, the children that are left are dropped, and then the outcome shows. All ways to join
/// are policies: those of this crate are in the module [`policy`](self). For others, say what yours
/// is and give it to [`Group::join_with`](crate::Group::join_with):
///
/// ```
/// use errgroup::{Group, Policy};
/// use std::ops::ControlFlow;
///
/// /// Goes on as long as at most a tenth of the children have failed; the number that did.
/// struct Tolerate {
///     allowed: usize,
///     failed: usize,
/// }
///
/// impl<T, E> Policy<Result<T, E>> for Tolerate {
///     type Output = Result<usize, E>;
///
///     fn start(&mut self, children: usize) -> ControlFlow<Self::Output> {
///         self.allowed = children / 10;
///         ControlFlow::Continue(())
///     }
///
///     fn child_done(
///         &mut self,
///         _index: usize,
///         output: Result<T, E>,
///         _left: usize,
///     ) -> ControlFlow<Self::Output> {
///         match output {
///             Err(error) if self.failed == self.allowed => return ControlFlow::Break(Err(error)),
///             Err(_) => self.failed += 1,
///             Ok(_) => {}
///         }
///         ControlFlow::Continue(())
///     }
///
///     fn finish(self) -> Self::Output {
///         Ok(self.failed)
///     }
/// }
///
/// let check = |n: u32| async move { if n % 10 == 7 { Err(n) } else { Ok(()) } };
/// let one_in_ten: Group<_> = (0..30).map(check).collect();
/// let outcome = smol::block_on(one_in_ten.join_with(Tolerate { allowed: 0, failed: 0 }));
/// assert_eq!(outcome, Ok(3));
/// ```
///
/// # Panics
///
/// When a policy panics, it is a panic of the join: the children are dropped while it goes on through
/// the poll.
pub trait Policy<O> {
    /// What the outcome is.
    type Output;

    /// Called once before the join polls a child, with the number of children in the group. A policy that
    /// is settled before it begins can break here.
    fn start(&mut self, children: usize) -> ControlFlow<Self::Output> {
        let _ = children;
        ControlFlow::Continue(())
    }

    /// Called once for each child that is done, in order of completion.
    ///
    /// The `index` is the place of the child in the order of insertion: 0 to `children - 1` for those
    /// that were in the group at the start. Children that were removed, or were done before, are not
    /// counted. Those that are [added meanwhile](crate::Handle) come after them. `left` children are still in
    /// the group, running or queued.
    fn child_done(&mut self, index: usize, output: O, left: usize) -> ControlFlow<Self::Output>;

    /// Called when no child is left, if the policy has not broken before.
    fn finish(self) -> Self::Output;
}

/// The first error, or `Ok(())`: what awaiting a group does.
#[derive(Clone, Copy, Default, Debug)]
pub struct FailFast;

/// All values in order of insertion, or the first error: the policy of
/// [`try_join`](crate::Group::try_join).
#[derive(Clone, Debug)]
pub struct AllOk<T>(InOrder<T>);

/// All outputs in order of insertion: the policy of [`join`](crate::Group::join).
#[derive(Clone, Debug)]
pub struct AllDone<O>(InOrder<O>);

/// The first value, or all errors: the policy of [`race_ok`](crate::Group::race_ok).
#[derive(Clone, Debug)]
pub struct FirstOk<E>(Vec<E>);

/// The first so many values, or all errors until they cannot be had any more: the policy of
/// [`quorum`](crate::Group::quorum).
#[derive(Clone, Debug)]
pub struct EnoughOk<T, E> {
    wanted: usize,
    values: Vec<T>,
    errors: Vec<E>,
}

/// Every error of the children that failed, in order of completion: the error of
/// [`race_ok`](crate::Group::race_ok) and [`quorum`](crate::Group::quorum).
///
/// It is a slice of the errors, and its `Display` shows them all, with `{:#}` each in that form. So it has
/// no [`source`](Error::source), which could be one of them only: the sources of each are found there.
///
/// ```
/// use errgroup::{Errors, Group};
///
/// # smol::block_on(async {
/// let mirrors = ["refused", "timed out"];
/// let group: Group<_> = mirrors.iter().map(|why| async move { Err::<(), _>(*why) }).collect();
///
/// let errors = group.race_ok().await.unwrap_err();
/// assert_eq!(errors.to_string(), "2 errors: refused; timed out");
/// assert_eq!(errors.len(), 2);
/// assert!(errors.contains(&"refused"));
/// # });
/// ```
///
/// There are none where the children were too few from the start:
///
/// ```
/// let group: errgroup::Group<std::future::Ready<Result<(), String>>> = [].into_iter().collect();
/// let errors = smol::block_on(group.race_ok()).unwrap_err();
/// assert!(errors.is_empty());
/// assert_eq!(errors.to_string(), "too few children");
/// ```
///
/// It collects errors from elsewhere too, as from a [`join`](crate::Group::join), and makes one error of
/// them where there are any:
///
/// ```
/// use errgroup::{Errors, Group};
/// use std::error::Error;
///
/// async fn check(n: u32) -> Result<(), String> {
///     if n < 2 { Ok(()) } else { Err(format!("{n} is bad")) }
/// }
///
/// async fn check_all(numbers: std::ops::Range<u32>) -> Result<(), Box<dyn Error + Send + Sync>> {
///     let checks: Group<_> = numbers.map(check).collect();
///     let errors: Errors<_> = checks.join().await.into_iter().filter_map(Result::err).collect();
///     errors.into_result()?;
///     Ok(())
/// }
///
/// # smol::block_on(async {
/// assert!(check_all(0..2).await.is_ok());
/// let error = check_all(0..4).await.unwrap_err();
/// assert_eq!(error.to_string(), "2 errors: 2 is bad; 3 is bad");
/// # });
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Errors<E>(Vec<E>);

/// Outputs by index, each put in once.
#[derive(Clone, Debug)]
struct InOrder<T> {
    /// A `Vec` that is collected from it later takes over its allocation.
    outputs: Vec<Option<T>>,
    expected: usize,
}

impl<E> Policy<Result<(), E>> for FailFast {
    type Output = Result<(), E>;

    #[inline]
    fn child_done(
        &mut self,
        _index: usize,
        output: Result<(), E>,
        _left: usize,
    ) -> ControlFlow<Self::Output> {
        match output {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    }

    #[inline]
    fn finish(self) -> Self::Output {
        Ok(())
    }
}

impl<T, E> Policy<Result<T, E>> for AllOk<T> {
    type Output = Result<Vec<T>, E>;

    fn start(&mut self, children: usize) -> ControlFlow<Self::Output> {
        self.0.expected = children;
        ControlFlow::Continue(())
    }

    #[inline]
    fn child_done(
        &mut self,
        index: usize,
        output: Result<T, E>,
        _left: usize,
    ) -> ControlFlow<Self::Output> {
        match output {
            Ok(value) => self.0.put(index, value),
            Err(error) => return ControlFlow::Break(Err(error)),
        }
        ControlFlow::Continue(())
    }

    fn finish(self) -> Self::Output {
        Ok(self.0.into_vec())
    }
}

impl<O> Policy<O> for AllDone<O> {
    type Output = Vec<O>;

    fn start(&mut self, children: usize) -> ControlFlow<Self::Output> {
        self.0.expected = children;
        ControlFlow::Continue(())
    }

    #[inline]
    fn child_done(&mut self, index: usize, output: O, _left: usize) -> ControlFlow<Self::Output> {
        self.0.put(index, output);
        ControlFlow::Continue(())
    }

    fn finish(self) -> Self::Output {
        self.0.into_vec()
    }
}

impl<T, E> Policy<Result<T, E>> for FirstOk<E> {
    type Output = Result<T, Errors<E>>;

    #[inline]
    fn child_done(
        &mut self,
        _index: usize,
        output: Result<T, E>,
        _left: usize,
    ) -> ControlFlow<Self::Output> {
        match output {
            Ok(value) => return ControlFlow::Break(Ok(value)),
            Err(error) => self.0.push(error),
        }
        ControlFlow::Continue(())
    }

    fn finish(self) -> Self::Output {
        Err(Errors(self.0))
    }
}

impl<T, E> EnoughOk<T, E> {
    /// A policy that wants so many values, which a join of too few children refuses at its start.
    pub const fn new(wanted: usize) -> Self {
        Self { wanted, values: Vec::new(), errors: Vec::new() }
    }

    /// Whether there are enough values, or can never be with so many children left.
    fn flow(&mut self, left: usize) -> ControlFlow<Result<Vec<T>, Errors<E>>> {
        let missing = self.wanted.saturating_sub(self.values.len());
        if missing == 0 {
            ControlFlow::Break(Ok(mem::take(&mut self.values)))
        } else if missing > left {
            ControlFlow::Break(Err(Errors(mem::take(&mut self.errors))))
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl<T, E> Policy<Result<T, E>> for EnoughOk<T, E> {
    type Output = Result<Vec<T>, Errors<E>>;

    fn start(&mut self, children: usize) -> ControlFlow<Self::Output> {
        self.flow(children)
    }

    fn child_done(
        &mut self,
        _index: usize,
        output: Result<T, E>,
        left: usize,
    ) -> ControlFlow<Self::Output> {
        match output {
            Ok(value) => {
                if self.values.is_empty() {
                    // No more than there can be: `start`, which refuses too few, is not called where the policy
                    // that this is a part of does not.
                    self.values.reserve_exact(self.wanted.min(left.saturating_add(1)));
                }
                self.values.push(value);
            }
            Err(error) => self.errors.push(error),
        }
        self.flow(left)
    }

    fn finish(self) -> Self::Output {
        Err(Errors(self.errors))
    }
}

impl<T> InOrder<T> {
    const fn new() -> Self {
        Self { outputs: Vec::new(), expected: 0 }
    }

    #[inline]
    fn put(&mut self, index: usize, output: T) {
        if self.outputs.capacity() == 0 {
            self.outputs = Vec::with_capacity(self.expected);
        }
        if index < self.outputs.len() {
            self.outputs[index] = Some(output);
        } else {
            self.outputs.resize_with(index, || None);
            self.outputs.push(Some(output));
        }
    }

    #[expect(clippy::filter_map_identity, reason = "`flatten` collects to a new allocation")]
    fn into_vec(self) -> Vec<T> {
        self.outputs.into_iter().filter_map(|output| output).collect()
    }
}

impl<T> Default for AllOk<T> {
    fn default() -> Self {
        Self(InOrder::new())
    }
}

impl<O> Default for AllDone<O> {
    fn default() -> Self {
        Self(InOrder::new())
    }
}

impl<E> Default for FirstOk<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E> Errors<E> {
    /// The errors, without the wrapping.
    pub fn into_inner(self) -> Vec<E> {
        self.0
    }

    /// `Ok(())` if there are none.
    ///
    /// # Errors
    ///
    /// Itself, if there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl<E> Deref for Errors<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &self.0
    }
}

impl<E> FromIterator<E> for Errors<E> {
    fn from_iter<I: IntoIterator<Item = E>>(errors: I) -> Self {
        Self(errors.into_iter().collect())
    }
}

impl<E> IntoIterator for Errors<E> {
    type Item = E;
    type IntoIter = vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a Errors<E> {
    type Item = &'a E;
    type IntoIter = slice::Iter<'a, E>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            0 => f.write_str("too few children"),
            1 => self.0[0].fmt(f),
            errors => {
                write!(f, "{errors} errors")?;
                let separators = iter::once(": ").chain(iter::repeat("; "));
                self.iter().zip(separators).try_for_each(|(error, separator)| {
                    f.write_str(separator)?;
                    error.fmt(f)
                })
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for Errors<E> {}
