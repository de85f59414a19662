//! What long work on a repository tells whoever waits for it.

/// Hears how far a job is. Called from many threads; calls are cheap and never block on the work itself.
pub trait Progress: Send + Sync {
    /// How much there is to do, as far as is known by now; a later call replaces an earlier one.
    fn totals(&self, files: u64, bytes: u64);

    /// `count` more entries (files, folders, links) are done.
    fn files(&self, count: u64);

    /// `count` more bytes of content are done.
    fn bytes(&self, count: u64);

    /// From now on the destination may be changed.
    fn writing(&self);

    /// Something that the user should know and that does not fail the job.
    fn warning(&self, message: &str);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn totals(&self, _files: u64, _bytes: u64) {}
    fn files(&self, _count: u64) {}
    fn bytes(&self, _count: u64) {}
    fn writing(&self) {}
    fn warning(&self, _message: &str) {}
}
