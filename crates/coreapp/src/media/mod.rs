//! The files of messages: where they lie, and what is known of them.
//!
//! A file lies in the media directory, which all coreapps share, under its id (`files`); a row says what
//! it is (`shelf`). The row is the truth: it is committed when the file is on disk. Messages that refer to
//! files wait until the network has them (`desk`), fetched if need be (`links`).

mod collect;
mod desk;
mod files;
mod links;
mod shelf;

pub(crate) use desk::{Desk, Unready, Wanted};
pub use files::FilesError;
pub(crate) use files::{Files, PIECE};
pub(crate) use links::Links;
pub(crate) use shelf::{Deps, Shelf};
