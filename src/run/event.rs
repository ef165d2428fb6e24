//! The messages of the workers to the sink.

use super::memory::Reservation;
use super::queue::FailedRange;
use crate::client::Calls;
use crate::lake::Work;
use crate::model::{Range, Timestamp};
use crate::providers::Cursor;

use chrono::TimeDelta;

/// A worker's message to the sink. A slot is a worker, which pulls one range at a time.
#[derive(Debug)]
pub(crate) enum WorkerEvent<P> {
    /// A range begins or restarts; the state of the slot's previous range is dropped.
    Began(usize, InFlight),
    /// The instant of the range's first answer, which may be earlier than that of the request.
    Answered(usize, Timestamp),
    /// A page has arrived.
    Page {
        slot: usize,
        page: P,
        /// The provider's own count for the whole range, if it returns one.
        total: Option<u64>,
        /// Remarks for the operator.
        remark: Option<String>,
        /// The cursor after the page, if a commit may record it.
        cursor: Option<Cursor>,
        /// The page's share of the memory budget, until the page has landed.
        held: Reservation,
    },
    /// The range was pulled to its last page. The stream's windows are reduced to this length, if any.
    Finished {
        slot: usize,
        narrowed: Option<TimeDelta>,
    },
    /// A range failed although its provider works.
    Failed(FailedRange),
    /// The provider serves nothing of a stream before an instant, as it is too old.
    TooOld(TooOld),
}

/// A range that is too old for a provider.
#[derive(Debug)]
pub(crate) struct TooOld {
    pub(crate) stream: String,
    pub(crate) work: Work,
    /// The range from the refused instant to the oldest instant that was answered.
    pub(crate) range: Range,
    /// The reason why the refusal isn't believed, if so: the parts that were never pulled are retried.
    pub(crate) doubt: Option<String>,
}

/// A range in flight.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) stream: String,
    pub(crate) range: Range,
    pub(crate) work: Work,
    /// The instant whose state of the provider the range shows: that of the first answer, or of its request if that was
    /// earlier, by the clocks that the run trusts.
    pub(crate) as_of: Timestamp,
    /// The bounds of the requests.
    pub(crate) requested: Range,
    /// The cursor that a commit may record.
    pub(crate) cursor: Option<Cursor>,
    /// Whether it continues from an earlier run's cursor.
    pub(crate) resumed: bool,
    /// The number of requests sent for it.
    pub(crate) calls: Calls,
}
