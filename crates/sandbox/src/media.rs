//! The files that messages name: kept in a directory, never in memory.
//!
//! With a data directory they are there after a restart. Without one they are put where temporary files
//! go, and removed at an orderly stop.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use contract::{MediaId, Rng, media};
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt, AsyncWriteExt},
};

/// Bytes of a file that are in memory at once.
pub(crate) const PIECE: usize = 256 << 10;
/// Bytes of all files; further ones are refused.
const ALL_MAX: u64 = 4 << 30;

/// Where they are.
pub(crate) struct Media {
    directory: PathBuf,
    temporary: bool,
    all: AtomicU64,
    rng: Arc<dyn Rng>,
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a file has at most {} bytes", media::MAX_UPLOAD)]
    TooLarge,
    #[error("the sandbox keeps at most {ALL_MAX} bytes of files; empty its directory")]
    Full,
    #[error("the file broke off before its end")]
    Broken,
    #[error("the sandbox's directory for files: {0}")]
    Io(#[from] io::Error),
}

/// A file that comes. Dropped before it is whole, it leaves nothing.
pub(crate) struct Coming<'a> {
    media: &'a Media,
    file: File,
    handle: MediaId,
    content_type: String,
    size: u64,
    whole: bool,
}

impl Media {
    pub(crate) fn new(data_dir: Option<PathBuf>, rng: Arc<dyn Rng>) -> Self {
        let temporary = data_dir.is_none();
        let directory = data_dir.map_or_else(
            || {
                let own = format!("heliograph-sandbox-{}", MediaId::mint(&*rng));
                std::env::temp_dir().join(own)
            },
            |data_dir| data_dir.join("media"),
        );
        let sizes = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        let all = sizes.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
        Self { directory, temporary, all: AtomicU64::new(all), rng }
    }

    pub(crate) async fn begin(&self, content_type: String) -> Result<Coming<'_>, Refused> {
        fs::create_dir_all(&self.directory).await?;
        let handle = MediaId::mint(&*self.rng);
        let file = File::create(self.place(&handle, "tmp")).await?;
        Ok(Coming { media: self, file, handle, content_type, size: 0, whole: false })
    }

    /// A file and its content type; `None`: there is none of this name.
    pub(crate) async fn open(&self, handle: &str) -> io::Result<Option<(File, String)>> {
        let Ok(handle) = handle.parse() else { return Ok(None) };
        match fs::read_to_string(self.place(&handle, "type")).await {
            Ok(kind) => Ok(Some((File::open(self.place(&handle, "bytes")).await?, kind))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what was only for this run.
    pub(crate) async fn close(&self) {
        if self.temporary {
            // Never made when no file came.
            let _ = fs::remove_dir_all(&self.directory).await;
        }
    }

    fn place(&self, handle: &MediaId, what: &str) -> PathBuf {
        self.directory.join(format!("{handle}.{what}"))
    }
}

impl Coming<'_> {
    pub(crate) async fn write(&mut self, piece: &[u8]) -> Result<(), Refused> {
        let bytes = piece.len() as u64;
        self.size += bytes;
        if self.size > media::MAX_UPLOAD {
            return Err(Refused::TooLarge);
        }
        if self.media.all.fetch_add(bytes, Ordering::Relaxed) + bytes > ALL_MAX {
            return Err(Refused::Full);
        }
        Ok(self.file.write_all(piece).await?)
    }

    /// Keeps it; gives its name.
    pub(crate) async fn finish(mut self, size: u64) -> Result<String, Refused> {
        if self.size != size {
            return Err(Refused::Broken);
        }
        let (media, handle) = (self.media, self.handle);
        self.file.flush().await?;
        fs::rename(media.place(&handle, "tmp"), media.place(&handle, "bytes")).await?;
        // It is there as soon as its type is.
        fs::write(media.place(&handle, "type"), &self.content_type).await?;
        self.whole = true;
        Ok(handle.to_string())
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.media.all.fetch_sub(self.size, Ordering::Relaxed);
            // Renamed already, or never made.
            let _ = std::fs::remove_file(self.media.place(&self.handle, "tmp"));
        }
    }
}

/// The next piece; empty at the end.
pub(crate) async fn piece(file: &mut File) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE);
    file.take(PIECE as u64).read_to_end(&mut piece).await?;
    Ok(piece)
}
