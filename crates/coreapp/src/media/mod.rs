//! The files of messages: where they lie, and what is known of them.
//!
//! A file lies in the media directory, which all coreapps share, under its id (`files`); a row says what
//! it is (`shelf`). The row is the truth: it is committed when the file is on disk. Messages that refer to
//! files wait until the network has them (`desk`), fetched if need be (`links`). What customers send is fetched
//! from the network (`fetch`): before its callback goes out (`held`), or when somebody asks (`asked`).

mod asked;
mod collect;
mod desk;
mod fetch;
mod files;
mod held;
mod links;
mod shelf;

pub(crate) use asked::Asked;
pub(crate) use desk::{Desk, Unready, Wanted};
pub(crate) use fetch::Fetch;
pub use files::FilesError;
pub(crate) use files::{Files, PIECE};
pub(crate) use held::{Held, Watched};
pub(crate) use links::Links;
pub(crate) use shelf::{Deps, Shelf};
