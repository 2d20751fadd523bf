//! Chapters of the documentation that are longer than the page of a type. There is nothing here to
//! use.

pub mod adding;
pub mod choosing;
