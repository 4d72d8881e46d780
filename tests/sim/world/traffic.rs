//! What the applications of a world do: they call, they answer, they give up.

use super::{Run, World};
use crate::checker::digest;
use bytes::Bytes;
use relay_core::{Answer, Call, Delivery, Executed};
use std::time::Duration;

impl World {
    pub(super) fn deliver(&mut self, at: usize, delivery: Delivery) {
        match delivery {
            Delivery::Request(call) => {
                let uid = uid_of(&call.body());
                let answer = digest(uid, call.service());
                self.checker.executed(uid);
                self.note(uid);
                // Some handlers take so long that only a cancel can end them soon.
                let longest = if self.below(10) == 0 { 8_000 } else { 40 };
                let due = self.now.after(Duration::from_millis(u64::from(self.below(longest))));
                self.hosts[at].running.push_back(Run { due, call: call.call, uid, answer });
            }
            Delivery::Cancelled { call } => {
                self.marks.insert("cancel reached the handler");
                self.hosts[at].running.retain(|run| run.call != call);
            }
            Delivery::Answer { call, answer } => {
                let life = (at, self.hosts[at].life);
                match self.hosts[at].waiting.remove(&call) {
                    Some(uid) => {
                        self.note(uid);
                        self.mark(&answer);
                        self.checker.answer(uid, life, &answer, self.now);
                    }
                    None => self.checker.blame("S3", 0, "an answer to no call"),
                }
            }
        }
    }

    pub(super) fn make_call(&mut self) {
        self.next_call_at = self.now.after(Duration::from_micros(u64::from(self.below(20_000))));
        let at = 1 + self.below(self.hosts.len() as u32 - 1) as usize;
        let uid = self.calls_made;
        let target = 1 + self.below(self.config.homes as u32) as usize;
        let service = match self.below(4) {
            0 => String::from("shared"),
            1 => String::from("nowhere"),
            _ => format!("service-{target}"),
        };
        let node = if self.below(8) == 0 { format!("home-{}", target - 1) } else { String::new() };
        let deadline = Duration::from_millis(u64::from(1 + self.below(20_000)));
        let size_max = if self.below(10) == 0 { 100_000 } else { 200 };
        let padding = self.below(size_max) as usize;
        let mut body = uid.to_be_bytes().to_vec();
        body.resize(8 + padding, b'x');
        let (now, give_up) = (self.now, self.below(20) == 0);
        let host = &mut self.hosts[at];
        let Ok(from) = &mut host.node else { return };
        self.calls_made += 1;
        self.checker.called(uid, (at, host.life), service.clone(), now.after(deadline));
        let (service, method) = (service.as_str(), "run");
        let call = Call { node: &node, service, method, body: &body, deadline, idempotent: false };
        match from.call(call, now, &mut host.out) {
            Ok(call) => {
                host.waiting.insert(call, uid);
                self.apply(at);
                let host = &mut self.hosts[at];
                if let (true, Ok(from)) =
                    (give_up && host.waiting.contains_key(&call), &mut host.node)
                {
                    host.waiting.remove(&call);
                    from.cancel(call, now, &mut host.out);
                    self.checker.cancelled(uid, now);
                    self.apply(at);
                }
            }
            Err(error) => {
                let answer = Answer::Failed(Box::new(error));
                self.checker.answer(uid, (at, self.hosts[at].life), &answer, now);
            }
        }
    }

    fn mark(&mut self, answer: &Answer) {
        if let Answer::Failed(error) = answer {
            self.marks.insert(error.code.name());
            self.marks.insert(match error.executed {
                Executed::No => "told: not executed",
                Executed::Unknown => "told: unknown",
                Executed::Yes => "told: executed",
            });
        }
    }
}

fn uid_of(body: &Bytes) -> u64 {
    body.first_chunk::<8>().map_or(u64::MAX, |uid| u64::from_be_bytes(*uid))
}
