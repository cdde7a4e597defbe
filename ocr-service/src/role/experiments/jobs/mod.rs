//! Where experiments run: as Jobs of the cluster that this pod is in, or as processes beside this one.

pub mod explain;
pub mod kubernetes;
pub mod local;
pub mod manifest;

use super::experiment::{Asked, Status};
use super::owner::Owner;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobsError {
    /// There is a Job, or there are results, of this name.
    #[error("{0}")]
    Used(String),
    /// Asked and refused: asking again will not help.
    #[error("{0}")]
    Refused(String),
    /// Not reached; the next try may.
    #[error("{0}")]
    Unavailable(String),
}

#[async_trait::async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Whose the Jobs are that are started here.
    fn owner(&self) -> Owner;

    /// Creates the Job, and does not wait for it.
    async fn start(&self, asked: &Asked) -> Result<(), JobsError>;

    /// The Job of the experiment called `id`; nothing if there is none. `last` is how it was last seen, for what it
    /// cannot tell itself any more.
    async fn status(&self, id: &str, last: &Status) -> Result<Option<Status>, JobsError>;
}
