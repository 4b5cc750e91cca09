//! The media directory: `ab/ab12…` for the file of that id, `tmp/<node>` for what is being
//! written, `nodes/<node>` for who uses it.
//!
//! A file gets its name when all of it is on disk. Each node sweeps its own part of `tmp` at its start, so
//! a crash leaves no half file; that others share the directory does not matter.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use contract::MediaId;
use ring::digest::{Context, SHA256};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

/// Bytes of a file that are in memory at once, a transfer.
pub(crate) const PIECE: usize = 256 << 10;

/// The media directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The file system.
    #[error(
        "failed to use the media directory {}: {error}; choose another with media.directory \
         (HELIOGRAPH_MEDIA__DIRECTORY)",
        path.display()
    )]
    Io {
        /// The directory.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// It is not the one that the others use.
    #[error(
        "failed to join: the media directory {} is not the one of coreapp '{node}', which runs; let \
         media.directory (HELIOGRAPH_MEDIA__DIRECTORY) be one volume of all",
        path.display()
    )]
    NotShared {
        /// The directory.
        path: PathBuf,
        /// The other coreapp.
        node: String,
    },
}

/// Times a mark is looked for, a second apart: volumes of a network show new files late.
const LOOKS: usize = 10;

const LOOK: Duration = Duration::from_secs(1);
/// Folder of the nodes' marks.
const MARKS: &str = "nodes";

/// See the module.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    /// This node's own.
    tmp: PathBuf,
}

/// A file that is being written. Dropped, it leaves nothing.
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    digest: Context,
    size: u64,
}

/// What a whole file was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub size: u64,
    pub sha256: [u8; 32],
}

impl Files {
    /// Makes the directory if need be, and sweeps what this node left unfinished.
    ///
    /// # Errors
    /// [`FilesError`], naming the setting.
    pub(crate) fn open(root: PathBuf, node: &str) -> Result<Self, FilesError> {
        let tmp = root.join("tmp").join(plain(node));
        let marks = root.join(MARKS);
        let swept = || {
            fs::create_dir_all(&tmp)?;
            fs::create_dir_all(&marks)?;
            fs::write(marks.join(plain(node)), [])?;
            for left in fs::read_dir(&tmp)? {
                fs::remove_file(left?.path())?;
            }
            Ok(())
        };
        match swept() {
            Ok(()) => Ok(Self { root, tmp }),
            Err(error) => Err(FilesError::Io { path: root, error }),
        }
    }

    /// Looks whether the other nodes use the same directory.
    ///
    /// # Errors
    /// [`FilesError::NotShared`].
    pub(crate) async fn is_shared_with(
        &self,
        others: impl Iterator<Item = &str>,
    ) -> Result<(), FilesError> {
        for node in others {
            let mark = self.root.join(MARKS).join(plain(node));
            let mut looks = 1;
            while !mark.exists() {
                if looks == LOOKS {
                    let (path, node) = (self.root.clone(), node.to_owned());
                    return Err(FilesError::NotShared { path, node });
                }
                looks += 1;
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Begins a file.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) async fn begin(&self, id: MediaId) -> io::Result<Partial> {
        let path = self.tmp.join(id.to_string());
        let mut file = File::options().write(true).create_new(true).open(&path).await?;
        file.set_max_buf_size(PIECE);
        Ok(Partial { file, path, digest: Context::new(&SHA256), size: 0 })
    }

    /// Gives a file its name; it is on disk when this returns.
    ///
    /// # Errors
    /// What the file system says; then nothing is left.
    pub(crate) async fn keep(&self, id: MediaId, mut partial: Partial) -> io::Result<Summary> {
        partial.file.flush().await?;
        partial.file.sync_all().await?;
        let (from, to) = (partial.path.clone(), self.place(id));
        blocking(move || {
            let folder = to.parent().unwrap_or(&to);
            let made = !folder.exists();
            fs::create_dir_all(folder)?;
            fs::rename(&from, &to)?;
            // The name is on disk when its directory is, and a new directory's when its parent is.
            sync(folder)?;
            if made { sync(folder.parent().unwrap_or(folder)) } else { Ok(()) }
        })
        .await?;
        Ok(partial.summary())
    }

    /// Opens a file; `None`: it is not there.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) async fn read(&self, id: MediaId) -> io::Result<Option<File>> {
        match File::open(self.place(id)).await {
            Ok(mut file) => {
                file.set_max_buf_size(PIECE);
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a file away; that it is not there is well too.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) async fn remove(&self, id: MediaId) -> io::Result<()> {
        match tokio::fs::remove_file(self.place(id)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Of the files whose ids begin with this byte.
    pub(super) fn folder(&self, first: u8) -> PathBuf {
        self.root.join(format!("{first:02x}"))
    }

    /// 256 folders keep each of them small.
    fn place(&self, id: MediaId) -> PathBuf {
        self.folder(id.as_bytes()[0]).join(id.to_string())
    }
}

impl Partial {
    /// Appends a piece.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.digest.update(piece);
        self.size += piece.len() as u64;
        self.file.write_all(piece).await
    }

    /// What it is, so far.
    pub(crate) fn summary(&self) -> Summary {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.digest.clone().finish().as_ref());
        Summary { size: self.size, sha256 }
    }

    /// Bytes so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already when the file was given its name. What cannot be removed is swept at the next start.
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "an unfinished file is left over");
        }
    }
}

/// The next piece of a file, at most [`PIECE`]; empty at its end.
///
/// # Errors
/// What the file system says.
pub(super) async fn piece(file: &mut File) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE);
    file.take(PIECE as u64).read_to_end(&mut piece).await?;
    Ok(piece)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// A node's name as that of a folder: never a way out of the one it is in.
fn plain(node: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    format!("n-{}", node.chars().map(keep).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> MediaId {
        MediaId::from_bytes([n; 16])
    }

    /// Of the files, but for the nodes' marks.
    fn names(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(MARKS) {
                continue;
            }
            if path.is_dir() {
                names.extend(self::names(&path));
            } else {
                names.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
        names
    }

    async fn stored(files: &Files, id: MediaId, pieces: &[&[u8]]) -> Summary {
        let mut partial = files.begin(id).await.unwrap();
        for piece in pieces {
            partial.write(piece).await.unwrap();
        }
        files.keep(id, partial).await.unwrap()
    }

    #[tokio::test]
    async fn a_kept_file_is_read_back_piece_by_piece_and_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path().join("media"), "one").unwrap();
        let large = vec![7; PIECE + 1];
        let summary = stored(&files, id(1), &[b"ab", &large]).await;
        assert_eq!(summary.size, large.len() as u64 + 2);
        let whole = [b"ab".as_slice(), &large].concat();
        assert_eq!(summary.sha256, ring::digest::digest(&SHA256, &whole).as_ref());
        let mut file = files.read(id(1)).await.unwrap().unwrap();
        let mut read = Vec::new();
        loop {
            let piece = piece(&mut file).await.unwrap();
            assert!(piece.len() <= PIECE);
            if piece.is_empty() {
                break;
            }
            read.extend(piece);
        }
        assert_eq!(read, whole);
        files.remove(id(1)).await.unwrap();
        files.remove(id(1)).await.unwrap();
        assert!(files.read(id(1)).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing_and_what_a_crash_left_is_swept_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path().into(), "../one").unwrap();
        let mut partial = files.begin(id(1)).await.unwrap();
        partial.write(b"half").await.unwrap();
        drop(partial);
        assert_eq!(names(folder.path()), [""; 0]);

        stored(&files, id(2), &[b"whole"]).await;
        std::mem::forget(files.begin(id(3)).await.unwrap());
        // Another node's unfinished file is its own affair.
        let other = Files::open(folder.path().into(), "two").unwrap();
        let _writing = other.begin(id(4)).await.unwrap();
        let again = Files::open(folder.path().into(), "../one").unwrap();
        let mut left = names(folder.path());
        left.sort_unstable();
        assert_eq!(left, [id(2).to_string(), id(4).to_string()]);
        assert!(again.read(id(2)).await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_with_a_directory_of_its_own_is_told_whose_it_does_not_share() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let _first = Files::open(one.path().into(), "core-0").unwrap();
        let same = Files::open(one.path().into(), "core-1").unwrap();
        same.is_shared_with(["core-0"].into_iter()).await.unwrap();
        let own = Files::open(other.path().into(), "core-2").unwrap();
        let error = own.is_shared_with(["core-0"].into_iter()).await.unwrap_err().to_string();
        assert!(error.contains("core-0") && error.contains("media.directory"), "{error}");
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_refused_with_its_setting() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Files::open(file.path().join("media"), "one").unwrap_err().to_string();
        assert!(error.contains("media.directory"), "{error}");
    }
}
