//! Files that nobody has used for long go, and files without a row.
//!
//! Folder by folder: the rows whose ids begin like its name, and what lies in it.

use std::{collections::HashSet, io, time::UNIX_EPOCH};

use contract::{ApiError, Code, MediaId};
use store::File;

use super::{files::Files, shelf::Shelf};

/// A file that was not sent for so long goes.
const UNUSED_MS: i64 = 30 * DAY_MS;
/// A file with a handle may have been sent up to this long after it got it.
const HANDLE_MS: i64 = 7 * DAY_MS;
/// A file without a row may be about to get one.
const FRESH_MS: i64 = DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Rows of a read.
const PAGE: u32 = 500;

impl Shelf {
    /// Takes away what is unused, and what has no row, but nothing of `used`; gives how many files that were.
    ///
    /// # Errors
    /// The first thing that is in the way; what went before is gone.
    pub(crate) async fn collect(&self, used: &HashSet<MediaId>) -> Result<u64, ApiError> {
        let mut gone = 0;
        for folder in 0..=u8::MAX {
            let known = self.collect_rows(folder, used, &mut gone).await?;
            for (id, changed_ms) in self.files().names(folder).await.map_err(unreadable)? {
                if !known.contains(&id) && changed_ms < self.now_ms() - FRESH_MS {
                    self.files().remove(id).await.map_err(unreadable)?;
                    gone += 1;
                }
            }
        }
        Ok(gone)
    }

    /// Deletes what is unused of a folder's rows; gives the others.
    async fn collect_rows(
        &self,
        folder: u8,
        used: &HashSet<MediaId>,
        gone: &mut u64,
    ) -> Result<HashSet<MediaId>, ApiError> {
        let mut known = HashSet::new();
        let mut after = before(folder);
        loop {
            let page = self.page(after, PAGE).await?;
            let more = page.len() == PAGE as usize;
            for file in page {
                let id = file.media.id;
                if id.as_bytes()[0] != folder {
                    return Ok(known);
                }
                after = id;
                if unused(&file, self.now_ms()) && !used.contains(&id) {
                    self.remove(id).await?;
                    *gone += 1;
                } else {
                    known.insert(id);
                }
            }
            if !more {
                return Ok(known);
            }
        }
    }
}

/// Behind every id of the folder before. No id of ours is all zero or all one.
fn before(folder: u8) -> MediaId {
    let bytes = match folder.checked_sub(1) {
        None => [0; 16],
        Some(last) => {
            let mut bytes = [u8::MAX; 16];
            bytes[0] = last;
            bytes
        }
    };
    MediaId::from_bytes(bytes)
}

fn unused(file: &File, now_ms: i64) -> bool {
    let sent_ms = file.handle.as_ref().map_or(i64::MIN, |handle| handle.uploaded_ms + HANDLE_MS);
    file.media.created_ms.max(sent_ms) < now_ms - UNUSED_MS
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: io::Error) -> ApiError {
    ApiError::new(Code::INTERNAL, format!("Could not delete media files: {error}"))
}

impl Files {
    /// The files of a folder, and when each was last written, Unix milliseconds.
    async fn names(&self, folder: u8) -> io::Result<Vec<(MediaId, i64)>> {
        let folder = self.folder(folder);
        let list = move || {
            let mut names = Vec::new();
            let entries = match std::fs::read_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
                let Some(id) = id else { continue };
                let since = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH);
                let ms = since.map_or(0, |since| since.as_millis());
                names.push((id, i64::try_from(ms).unwrap_or(i64::MAX)));
            }
            Ok(names)
        };
        tokio::task::spawn_blocking(list).await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use store::rows::{BlobHandle, Media, MediaState};

    use super::*;

    #[test]
    fn a_send_begins_the_thirty_days_anew() {
        let id = MediaId::from_bytes([1; 16]);
        let media = Media {
            id,
            created_ms: 0,
            state: MediaState::Stored,
            size: 1,
            sha256: [0; 32],
            mime: String::new(),
            source: Bytes::new(),
        };
        let handle = |uploaded_ms| Some(BlobHandle { id, uploaded_ms, handle: "h".to_owned() });
        let file = |handle| File { media: media.clone(), handle };
        assert!(!unused(&file(None), 30 * DAY_MS));
        assert!(unused(&file(None), 30 * DAY_MS + 1));
        assert!(!unused(&file(handle(20 * DAY_MS)), 57 * DAY_MS), "sent on the 27th day perhaps");
        assert!(unused(&file(handle(20 * DAY_MS)), 57 * DAY_MS + 1));
    }

    #[test]
    fn the_rows_of_a_folder_begin_behind_those_of_the_one_before() {
        let id = |first: u8, rest: u8| {
            let mut bytes = [rest; 16];
            bytes[0] = first;
            MediaId::from_bytes(bytes)
        };
        for folder in [0, 1, 0x7f, u8::MAX] {
            assert!(before(folder) < id(folder, 1));
            assert!(folder == 0 || before(folder) > id(folder - 1, 0xfe));
        }
    }
}
