//! `rpc.*`: what a client says about its connection, its services and calls in flight.

use super::Clients;
use super::calls::Job;
use super::client::{Chunk, Client, Close};
use super::offers::Offer;
use super::topics::Topics;
use crate::calls::{Answered, Done, Runner};
use crate::json_rpc::{Call, Entry, Target};
use bytes::Bytes;
use relay_tokio::{Answer, CallError, ErrorCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What the relay knows of one client.
pub(super) struct Session {
    clients: Arc<Clients>,
    client: Arc<Client>,
    topics: Topics,
    is_authenticated: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    service: String,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    share: bool,
    credit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdraw {
    service: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credit<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    bytes: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChunkOf<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    chunk: Option<&'a RawValue>,
    #[serde(default)]
    last: bool,
}

impl Session {
    pub(super) fn new(clients: &Arc<Clients>, is_authenticated: bool) -> Self {
        let client = Arc::new(Client::new(clients.settings.limits.clone()));
        let topics = Topics::new(&clients.runner, &clients.settings.limits);
        Self { clients: Arc::clone(clients), client, topics, is_authenticated }
    }

    pub(super) const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(super) const fn topics(&mut self) -> &mut Topics {
        &mut self.topics
    }

    pub(super) const fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    pub(super) fn runner(&self) -> &Arc<Runner> {
        &self.clients.runner
    }

    pub(super) const fn is_authenticated(&self) -> bool {
        self.is_authenticated
    }

    /// Nobody is sent to the services of the client any more.
    pub(super) fn withdraw_all(&self) {
        self.clients.offers.withdraw_all(&self.client);
    }

    /// What is to become of an entry. What is about the connection is done at once.
    pub(super) fn job(&mut self, entry: Entry) -> Job {
        let (id, call) = match entry {
            Entry::Call { id, call } => (Some(id), call),
            Entry::Notification(call) => (None, call),
            Entry::Invalid { id, error } => return Job::Ready(Answered::Invalid { id, error }),
            Entry::Ignored(error) => {
                self.runner().end_silently(Done::own(Err(error)));
                return Job::Ready(Answered::Silent);
            }
        };
        if let Target::Control(name) = &call.target {
            let answer = self.control(name, &call.params);
            let Some(id) = id else {
                self.runner().end_silently(Done::own(answer));
                return Job::Ready(Answered::Silent);
            };
            return Job::Ready(Answered::Call { id, done: Done::own(answer) });
        }
        self.call(id, call)
    }

    /// Takes on a call of the client.
    pub(super) fn call(&self, id: Option<Bytes>, call: Call) -> Job {
        if let Err(error) = self.check_token() {
            return Job::refused(self.runner(), id, error.code, error.message);
        }
        // The id is kept as long as the call, and must not keep its message.
        let id = id.map(|id| Bytes::copy_from_slice(&id));
        Job::of(self.runner(), &self.client, id, call)
    }

    fn control(&mut self, name: &str, params: &Bytes) -> Result<Answer, CallError> {
        if name == "rpc.auth" {
            let Auth { token } = self.read(name, params)?;
            self.auth(&token)?;
            return Ok(result(&json!({ "node": self.runner().id() })));
        }
        self.check_token()?;
        // A copy, so that what is kept of a message is not the whole of it.
        let copy = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
        let client = &self.client;
        let found = match name {
            "rpc.register" => {
                let Register { service, methods, share, credit } = self.read(name, params)?;
                let offer = Offer { service: service.clone(), methods, is_shared: share, credit };
                self.register(offer)?;
                return Ok(result(&json!({ "service": service, "node": self.runner().id() })));
            }
            "rpc.withdraw" => {
                let Withdraw { service } = self.read(name, params)?;
                self.clients.offers.withdraw(client, &service)
            }
            "rpc.cancel" => {
                let Cancel { id } = self.read(name, params)?;
                client.handle_cancel(&copy(id))
            }
            "rpc.credit" => {
                let Credit { id, bytes } = self.read(name, params)?;
                client.handle_credit(&copy(id), bytes)
            }
            "rpc.chunk" => {
                let ChunkOf { id, chunk, last } = self.read(name, params)?;
                if chunk.is_none() && !last {
                    let detail = "rpc.chunk takes 'chunk', 'last', or both";
                    return Err(self.runner().error(ErrorCode::BadParams, detail));
                }
                let body = chunk.map(copy).unwrap_or_default();
                client.handle_chunk(&copy(id), Chunk { body, is_last: last })
            }
            _ => {
                let detail = format!("there is no '{name}': {METHODS}");
                return Err(self.runner().error(ErrorCode::NoSuchMethod, detail));
            }
        };
        Ok(result(&json!(found)))
    }

    /// Takes the token of the client. A wrong one ends the connection once the client is told.
    pub(super) fn auth(&mut self, token: &str) -> Result<(), CallError> {
        if !self.clients.is_token(token.as_bytes()) {
            self.client.close(WRONG_TOKEN);
            let detail = "this is not the token of this node";
            return Err(self.runner().error(ErrorCode::Unauthenticated, detail));
        }
        self.is_authenticated = true;
        Ok(())
    }

    /// Offers a service of the client.
    pub(super) fn register(&self, offer: Offer) -> Result<(), CallError> {
        let runner = self.runner();
        if *self.clients.phase.borrow() != super::Phase::Open {
            return Err(runner.error(ErrorCode::Draining, "connect to another node"));
        }
        let limit = self.clients.settings.limits.services_max;
        if self.clients.offers.count(&self.client) >= limit {
            let error = runner.error(ErrorCode::Overloaded, "too many services on one connection");
            return Err(error.with_limit(limit as u64));
        }
        let service = offer.service.clone();
        self.clients.offers.register(&self.client, offer)?;
        tracing::info!(%service, "a JSON client offers a service");
        Ok(())
    }

    /// Whether the client has shown the token, if one is asked for.
    pub(super) fn check_token(&self) -> Result<(), CallError> {
        if self.is_authenticated {
            return Ok(());
        }
        let detail = "show the token first: rpc.auth, or the header 'Authorization: Bearer'";
        Err(self.runner().error(ErrorCode::Unauthenticated, detail))
    }

    fn read<'a, T: Deserialize<'a>>(&self, name: &str, params: &'a [u8]) -> Result<T, CallError> {
        serde_json::from_slice(params).map_err(|error| {
            let detail = format!("the params of {name}, an object with names: {error}");
            self.runner().error(ErrorCode::BadParams, detail)
        })
    }
}

fn result(value: &serde_json::Value) -> Answer {
    Answer::Result(Bytes::from(value.to_string()))
}

const WRONG_TOKEN: Close =
    Close { code: 1008, reason: "UNAUTHENTICATED: this is not the token of this node" };
const METHODS: &str = "rpc.auth, rpc.register, rpc.withdraw, rpc.cancel, rpc.chunk, rpc.credit \
                       and rpc.discover are all";
