//! A CONNECT that is kept for longer than the turn that it came in.

use bytes::Bytes;
use mqtt::packet::ConnectProperties;
use mqtt::{Connect, Utf8String};

use crate::types::{detach_will, will_cost};

/// A copy of a CONNECT that keeps no read buffer alive.
pub(crate) fn detach_connect(connect: &Connect) -> Connect {
    let properties = &connect.properties;
    let copy = |data: &Bytes| Bytes::copy_from_slice(data);
    Connect {
        version: connect.version,
        dialect: connect.dialect,
        clean_start: connect.clean_start,
        keep_alive: connect.keep_alive,
        client_id: connect.client_id.detach(),
        will: connect.will.as_ref().map(detach_will),
        user_name: connect.user_name.as_ref().map(Utf8String::detach),
        password: connect.password.as_ref().map(copy),
        properties: ConnectProperties {
            session_expiry_interval: properties.session_expiry_interval,
            receive_maximum: properties.receive_maximum,
            maximum_packet_size: properties.maximum_packet_size,
            topic_alias_maximum: properties.topic_alias_maximum,
            request_response_information: properties.request_response_information,
            request_problem_information: properties.request_problem_information,
            user_properties: properties
                .user_properties
                .iter()
                .map(|(name, value)| (name.detach(), value.detach()))
                .collect(),
            authentication_method: properties
                .authentication_method
                .as_ref()
                .map(Utf8String::detach),
            authentication_data: properties.authentication_data.as_ref().map(copy),
        },
    }
}

/// Bytes of memory that such a copy takes, approximately.
pub(crate) fn connect_cost(connect: &Connect) -> usize {
    let properties = &connect.properties;
    let user_properties: usize = properties
        .user_properties
        .iter()
        .map(|(name, value)| size_of_val(name) + size_of_val(value) + name.len() + value.len())
        .sum();
    size_of::<Connect>()
        + connect.client_id.len()
        + connect.will.as_ref().map_or(0, will_cost)
        + connect.user_name.as_ref().map_or(0, |it| it.len())
        + connect.password.as_ref().map_or(0, Bytes::len)
        + properties
            .authentication_method
            .as_ref()
            .map_or(0, |it| it.len())
        + properties
            .authentication_data
            .as_ref()
            .map_or(0, Bytes::len)
        + user_properties
}
