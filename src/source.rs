//! A provider's feed: the adapter says what to ask and what an answer means, the client asks.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, ClientError};
use crate::model::Kind;
use crate::providers::{Adapter, Answer, Ask, Call, Cursor, Page, Refusal, Stream, Target};

/// One job's feed.
#[derive(Debug, Clone)]
pub struct Source {
    /// What to ask and what answers mean.
    pub adapter: Arc<dyn Adapter>,
    /// Who asks; shared by all jobs of a connection, as they share its rate budget.
    pub client: Client,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The call has no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The answer is no page.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl SourceError {
    /// What it means for the scheduler.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Client(error) => error.kind(),
            Self::Refused(refusal) => refusal.kind(),
        }
    }
}

impl Source {
    /// The job's streams as they are now.
    pub async fn streams(&self, stop: &CancellationToken) -> Result<Vec<Stream>, SourceError> {
        let mut answers = Vec::new();
        for call in self.adapter.stream_calls() {
            answers.push(self.answer(&call, stop).await?);
        }
        Ok(self.adapter.streams(&answers)?)
    }

    /// The page at `cursor`, or the first one of the range. A download that can't be fetched is an answer like any
    /// other: a 502, which its adapter knows how to do without.
    pub async fn page(
        &self,
        ask: &Ask,
        cursor: Option<&Cursor>,
        stop: &CancellationToken,
    ) -> Result<Page, SourceError> {
        let call = self.adapter.call(ask, cursor)?;
        let answer = match self.client.send(&call, stop).await {
            Err(error @ ClientError::BodyTooLarge { .. }) => {
                return Err(Refusal::TooLarge(error.to_string()).into());
            }
            // a network that lets calls to the API out may shut off whatever host holds a download
            Err(error)
                if matches!(call.target, Target::Download { .. })
                    && !matches!(error, ClientError::Stopped) =>
            {
                tracing::warn!(%error, "a download can't be fetched");
                Answer {
                    status: StatusCode::BAD_GATEWAY,
                    headers: HeaderMap::new(),
                    body: Bytes::new(),
                }
            }
            answer => answer?,
        };
        match self.adapter.page(ask, cursor, answer)? {
            // a range can't end if every page leads to itself
            Page {
                next, wait: None, ..
            } if next.is_some() && next.as_ref() == cursor => Err(failed(
                Kind::Data,
                "the provider's answer leads back to the same page",
            )),
            page => Ok(page),
        }
    }

    /// The answer to a single call.
    pub async fn answer(
        &self,
        call: &Call,
        stop: &CancellationToken,
    ) -> Result<Answer, SourceError> {
        Ok(self.client.send(call, stop).await?)
    }
}

pub(crate) fn failed(kind: Kind, message: impl Into<String>) -> SourceError {
    Refusal::Failed {
        kind,
        message: message.into(),
    }
    .into()
}
