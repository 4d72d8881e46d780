//! How instances of services are chosen: one way for all, and rules of single services, as in
//! `[balancing.services.blog]`. What a rule leaves out is as for all other services.

use super::keys as k;
use super::layers::Layers;
use super::values;
use crate::cli::Failure;
use relay_tokio::{Balancing, Limits, ServiceRules, is_service};

pub(super) fn read(layers: &Layers, limits: &Limits) -> Result<Balancing, Failure> {
    let balance = layers.required(&k::BALANCE_ALL, values::balance)?;
    let mut balancing = Balancing { balance, ..Balancing::default() };
    for service in layers.names_of(&k::BALANCE_SERVICES) {
        let path = format!("{}.{service}", k::BALANCE_SERVICES.path);
        if !is_service(service) {
            let source = layers.source_of_path(&path);
            return Err(Failure::usage(format!(
                "{path} ({source}) names no service: a name is 1 to 64 of A-Z a-z 0-9 _ -"
            )));
        }
        let rules = ServiceRules {
            balance: layers.rule(&path, &k::RULE_BALANCE, values::balance)?.unwrap_or(balance),
            prefer_zone: layers.rule(&path, &k::RULE_PREFER_ZONE, values::boolean)?.unwrap_or(true),
            breaker_failures: layers
                .rule(&path, &k::RULE_FAILURES, values::failure_count)?
                .unwrap_or(limits.breaker_failures),
            breaker_open: layers
                .rule(&path, &k::RULE_OPEN, values::period)?
                .unwrap_or(limits.breaker_open),
        };
        balancing.services.insert(service.to_owned(), rules);
    }
    Ok(balancing)
}
