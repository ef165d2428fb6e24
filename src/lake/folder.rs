//! A store in a folder of this machine.
//!
//! It wraps the store of `object_store`, with two differences. The folder is created on demand, so that a disk may be
//! mounted later. And if the file system has no hard links (FAT, some network and user-space file systems), objects are
//! created by a rename that replaces nothing.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result,
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use uuid::Uuid;

use crate::telemetry::causes;

/// A store in a folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    local: OnceLock<LocalFileSystem>,
    /// Whether hard links have failed.
    has_no_links: Arc<AtomicBool>,
}

impl Folder {
    /// Opens the folder at `root`, an absolute path, and creates it if possible.
    pub(super) fn new(root: PathBuf) -> Result<Self> {
        let folder = Self {
            root,
            local: OnceLock::new(),
            has_no_links: Arc::default(),
        };
        folder.local()?;
        Ok(folder)
    }

    /// Opens a folder that can't be created yet; each request tries again.
    pub(super) fn later(root: PathBuf) -> Self {
        Self {
            root,
            local: OnceLock::new(),
            has_no_links: Arc::default(),
        }
    }

    fn local(&self) -> Result<&LocalFileSystem> {
        if let Some(local) = self.local.get() {
            return Ok(local);
        }
        std::fs::create_dir_all(&self.root).map_err(disk)?;
        let local = LocalFileSystem::new_with_prefix(&self.root)?
            .with_automatic_cleanup(true) // a run's staging folder is removed with its last file
            .with_fsync(true); // a confirmed commit survives a power failure
        Ok(self.local.get_or_init(|| local))
    }

    /// Creates a file with these bytes, unless it exists: atomically, and without hard links.
    async fn create_by_rename(&self, location: &Path, payload: PutPayload) -> Result<PutResult> {
        let local = self.local()?;
        let path = local.path_to_filesystem(location)?;
        let key = location.to_string();
        blocking(move || {
            let staged = staged_beside(&path);
            let written = write_staged(&staged, |file| {
                payload.iter().try_for_each(|bytes| file.write_all(bytes))
            });
            let renamed = written.and_then(|()| {
                renameat_with(CWD, &staged, CWD, &path, RenameFlags::NOREPLACE)
                    .map_err(io::Error::from)
            });
            if let Err(error) = renamed {
                drop(std::fs::remove_file(&staged)); // the original error is returned
                return Err(match error.kind() {
                    io::ErrorKind::AlreadyExists => Error::AlreadyExists {
                        path: key,
                        source: Box::new(error),
                    },
                    // the file system doesn't support this kind of rename either
                    io::ErrorKind::InvalidInput => disk(io::ErrorKind::Unsupported.into()),
                    _ => disk(error),
                });
            }
            sync_parent(&path).map_err(disk)
        })
        .await?;
        let meta = local.head(location).await?;
        Ok(PutResult {
            e_tag: meta.e_tag,
            version: None,
            extensions: object_store::Extensions::default(),
        })
    }

    /// Copies by reading and writing; the complete copy atomically replaces an existing file.
    async fn copy_by_bytes(&self, from: &Path, to: &Path) -> Result<()> {
        let local = self.local()?;
        let (source, target) = (
            local.path_to_filesystem(from)?,
            local.path_to_filesystem(to)?,
        );
        let key = from.to_string();
        blocking(move || {
            let mut read = File::open(&source).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::NotFound {
                    path: key,
                    source: Box::new(error),
                },
                _ => disk(error),
            })?;
            let staged = staged_beside(&target);
            let written = write_staged(&staged, |file| io::copy(&mut read, file).map(drop));
            let renamed = written.and_then(|()| std::fs::rename(&staged, &target));
            if let Err(error) = renamed {
                drop(std::fs::remove_file(&staged)); // the original error is returned
                return Err(disk(error));
            }
            sync_parent(&target).map_err(disk)
        })
        .await
    }

    /// Returns whether a request failed because the file system has no hard links, and remembers that.
    fn lacks_links(&self, error: &Error) -> bool {
        let lacks = of_disk(error).is_some_and(|error| {
            // Linux returns EPERM for a file system without links; EACCES is about permissions
            error.kind() == io::ErrorKind::Unsupported
                || error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error())
        });
        if lacks {
            self.has_no_links.store(true, Ordering::Relaxed);
        }
        lacks
    }
}

/// Returns the disk's failure in an error.
fn of_disk(error: &Error) -> Option<&io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn disk(error: io::Error) -> Error {
    Error::Generic {
        store: "disk",
        source: Box::new(error),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// Returns a temporary name next to `path` that no listing shows: like those of `object_store`, it ends in `#` and a
/// number.
fn staged_beside(path: &FsPath) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{}", Uuid::now_v7().as_u128()));
    name.into()
}

/// Writes a new file and flushes it to the disk.
fn write_staged(
    staged: &FsPath,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    if let Some(parent) = staged.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file = File::create_new(staged)?;
    write(&mut file)?;
    file.sync_all()
}

/// Flushes a file's directory, so that its name survives a power failure.
fn sync_parent(path: &FsPath) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Folder({})", self.root.display())
    }
}

/// Delegates every method except those that need hard links.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Folder {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let creates = options.mode == PutMode::Create;
        if !creates {
            return self.local()?.put_opts(location, payload, options).await;
        }
        if self.has_no_links.load(Ordering::Relaxed) {
            return self.create_by_rename(location, payload).await;
        }
        let put = self
            .local()?
            .put_opts(location, payload.clone(), options)
            .await;
        match put {
            Err(error) if self.lacks_links(&error) => {
                self.create_by_rename(location, payload).await
            }
            put => put,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.local()?.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.local()?.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<Bytes>> {
        self.local()?.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.local() {
            Ok(local) => local.delete_stream(locations),
            Err(error) => failed(error),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.local() {
            Ok(local) => local.list(prefix),
            Err(error) => failed(error),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.local() {
            Ok(local) => local.list_with_offset(prefix, offset),
            Err(error) => failed(error),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.local()?.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let replaces = options.mode == CopyMode::Overwrite;
        if replaces && self.has_no_links.load(Ordering::Relaxed) {
            return self.copy_by_bytes(from, to).await;
        }
        match self.local()?.copy_opts(from, to, options).await {
            Err(error) if replaces && self.lacks_links(&error) => {
                self.copy_by_bytes(from, to).await
            }
            copied => copied,
        }
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.local()?.rename_opts(from, to, options).await
    }
}

fn failed<T: Send + 'static>(error: Error) -> BoxStream<'static, Result<T>> {
    stream::iter([Err(error)]).boxed()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    fn without_links(root: &FsPath) -> Arc<Folder> {
        let folder = Folder::new(root.to_owned()).unwrap();
        folder.has_no_links.store(true, Ordering::Relaxed);
        Arc::new(folder)
    }

    async fn names(folder: &Folder) -> Vec<String> {
        let listed: Vec<ObjectMeta> = folder.list(None).try_collect().await.unwrap();
        listed
            .into_iter()
            .map(|meta| meta.location.to_string())
            .collect()
    }

    #[tokio::test]
    async fn without_hard_links_one_of_many_creators_wins_and_nobody_sees_half_of_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = without_links(root.path());
        for round in 0..20 {
            let key = Path::from(format!("new/{round}/0.json"));
            let creators = (0..8).map(|creator| {
                let (folder, key) = (Arc::clone(&folder), key.clone());
                tokio::spawn(async move {
                    let bytes = format!("{creator}").repeat(10_000);
                    folder
                        .put_opts(&key, bytes.into(), PutMode::Create.into())
                        .await
                })
            });
            let mut won = Vec::new();
            for creator in creators.collect::<Vec<_>>() {
                match creator.await.unwrap() {
                    Ok(put) => won.push(put),
                    Err(Error::AlreadyExists { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(won.len(), 1);
            let got = folder.get(&key).await.unwrap();
            assert_eq!(got.meta.e_tag, won[0].e_tag);
            let bytes = got.bytes().await.unwrap();
            assert!(bytes.len() == 10_000 && bytes.iter().all(|byte| *byte == bytes[0]));
        }
        assert_eq!(names(&folder).await.len(), 20);
    }

    #[tokio::test]
    async fn without_hard_links_a_copy_replaces_what_is_there_and_its_source_may_be_gone() {
        let root = tempfile::tempdir().unwrap();
        let folder = without_links(root.path());
        let (from, to) = (
            Path::from("staging/a b/0.staged"),
            Path::from("x=é%2F/0.parquet"),
        );
        folder.put(&from, "new".into()).await.unwrap();
        folder.put(&to, "old".into()).await.unwrap();
        folder.copy(&from, &to).await.unwrap();
        assert_eq!(folder.get(&to).await.unwrap().bytes().await.unwrap(), "new");
        folder.delete(&from).await.unwrap();
        let error = folder.copy(&from, &to).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert_eq!(names(&folder).await, [to.to_string()]);
    }

    #[test]
    fn a_link_that_the_file_system_doesnt_know_is_told_from_one_that_isnt_permitted() {
        let root = tempfile::tempdir().unwrap();
        for (raw, lacks) in [(1, true), (95, true), (13, false), (28, false), (30, false)] {
            let folder = Folder::new(root.path().to_owned()).unwrap();
            let error = disk(io::Error::from_raw_os_error(raw));
            assert_eq!(folder.lacks_links(&error), lacks, "{raw}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_cant_be_made_yet_is_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("disk/lake");
        std::fs::write(root.path().join("disk"), "").unwrap();
        assert!(Folder::new(place.clone()).is_err());
        let folder = Folder::later(place);
        let key = Path::from("x");
        assert!(folder.put(&key, "x".into()).await.is_err());
        assert!(folder.list(None).try_collect::<Vec<_>>().await.is_err());
        std::fs::remove_file(root.path().join("disk")).unwrap();
        folder.put(&key, "x".into()).await.unwrap();
        assert_eq!(names(&folder).await, ["x"]);
    }
}
