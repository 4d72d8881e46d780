//! The answer to `rpc.discover`: an OpenRPC document of every service that this node can reach.

use super::answer::write_string;
use relay_tokio::RegistryView;
use std::collections::{BTreeMap, BTreeSet};

/// Who describes itself.
#[derive(Clone, Copy, Debug)]
pub struct DiscoverInfo<'a> {
    /// This node.
    pub node: &'a str,
    /// The version of the product.
    pub version: &'a str,
}

/// Writes the document. A method offered by several nodes is listed once, with all of them; a
/// service that announces no methods is listed among the services only.
pub fn write_discover(out: &mut Vec<u8>, info: &DiscoverInfo<'_>, view: &RegistryView) {
    let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut methods: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for service in &view.services {
        services.entry(&service.name).or_default().insert(&service.node);
        for method in &service.methods {
            methods.entry((&service.name, method)).or_default().insert(&service.node);
        }
    }
    out.extend_from_slice(b"{\"openrpc\":\"1.3.2\",\"info\":{\"title\":");
    write_string(out, &format!("Relay node {}", info.node));
    out.extend_from_slice(b",\"version\":");
    write_string(out, info.version);
    out.extend_from_slice(b"},\"methods\":[");
    for (index, ((service, method), nodes)) in methods.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        write_string(out, &format!("{service}.{method}"));
        out.extend_from_slice(b",\"paramStructure\":\"either\",\"params\":[],\"x-relay-nodes\":");
        write_list(out, nodes);
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"x-relay-services\":{");
    for (index, (service, nodes)) in services.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, service);
        out.push(b':');
        write_list(out, nodes);
    }
    out.extend_from_slice(b"}}");
}

fn write_list(out: &mut Vec<u8>, texts: &BTreeSet<&str>) {
    out.push(b'[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, text);
    }
    out.push(b']');
}
