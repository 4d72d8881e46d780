//! One call in flight, from the side of whoever runs it. Dropping it ends it for the client too.

use super::client::{Chunk, Client, Refused};
use super::text;
use bytes::Bytes;
use futures_util::future::pending;
use relay_tokio::{CallStream, ServiceError, ServiceRequest, ServiceResult};
use std::future::poll_fn;
use std::sync::Arc;

/// A call that the client makes.
pub(super) struct OwnCall {
    client: Arc<Client>,
    id: Option<Bytes>,
}

/// A call that the client is asked to answer.
pub(super) struct ServedCall {
    client: Arc<Client>,
    id: Bytes,
}

impl OwnCall {
    /// Takes the call on. `credit` is what may be sent of a stream before the client grants more.
    pub(super) fn begin(
        client: &Arc<Client>,
        id: Option<Bytes>,
        credit: Option<u32>,
    ) -> Result<Self, Refused> {
        client.begin(id.as_ref(), credit)?;
        Ok(Self { client: Arc::clone(client), id })
    }

    /// Resolves when the call must stop: it was cancelled, or its stream broke the rules.
    pub(super) async fn stopped(&self) -> Option<ServiceError> {
        match &self.id {
            Some(id) => poll_fn(|cx| self.client.poll_stopped(id, cx)).await,
            None => pending().await,
        }
    }

    /// Hands the stream of the service to the client, as fast as it reads.
    pub(super) async fn hand_down(&self, stream: &CallStream) {
        let Some(id) = &self.id else { return };
        hand_to_client(&self.client, id, stream).await;
    }

    /// Hands the stream of the client to the service, as fast as that reads. Never resolves: there
    /// is nothing that would follow from its end.
    pub(super) async fn hand_up(&self, stream: &CallStream) {
        if let Some(id) = &self.id {
            hand_from_client(&self.client, id, stream).await;
        }
        pending::<()>().await;
    }
}

impl Drop for OwnCall {
    fn drop(&mut self) {
        self.client.end(self.id.as_ref());
    }
}

impl ServedCall {
    /// Asks the client, unless it is over a bound.
    pub(super) fn ask(
        client: &Arc<Client>,
        credit: Option<u32>,
        service: &str,
        request: &ServiceRequest,
    ) -> Result<Self, ServiceError> {
        let id = client.ask(credit, |id| text::request(id, service, request))?;
        Ok(Self { client: Arc::clone(client), id })
    }

    /// The answer of the client, behind all that it sent of its stream.
    pub(super) async fn answer(self, stream: Option<CallStream>) -> ServiceResult {
        let answer = poll_fn(|cx| self.client.poll_answer(&self.id, cx));
        let Some(stream) = stream else { return answer.await };
        let up = async {
            hand_from_client(&self.client, &self.id, &stream).await;
            answer.await
        };
        let down = async {
            hand_to_client(&self.client, &self.id, &stream).await;
            self.client.push(text::last_chunk(&self.id));
            pending().await
        };
        tokio::select! {
            biased;
            answer = up => answer,
            answer = down => answer,
        }
    }
}

impl Drop for ServedCall {
    fn drop(&mut self) {
        self.client.end_served(&self.id);
    }
}

async fn hand_to_client(client: &Client, id: &Bytes, stream: &CallStream) {
    while let Some(chunk) = stream.next().await {
        poll_fn(|cx| client.poll_room(id, chunk.len(), cx)).await;
        client.push(text::chunk(id, &chunk));
    }
}

async fn hand_from_client(client: &Client, id: &Bytes, stream: &CallStream) {
    while let Some(Chunk { body, is_last }) = poll_fn(|cx| client.poll_chunk(id, cx)).await {
        let bytes = body.len();
        let sent = if is_last { stream.send_last(body).await } else { stream.send(body).await };
        // The call has ended: what else comes is of no use.
        if sent.is_err() {
            return;
        }
        client.passed_on(id, bytes);
    }
}
