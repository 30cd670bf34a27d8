//! `GET /api/v1/server`: what runs here.

use std::sync::Arc;

use api::{MqttInfo, ServerInfo};
use axum::Json;
use axum::extract::State;

use super::ApiError;
use crate::http::Site;

pub(super) async fn server(State(site): State<Arc<Site>>) -> Result<Json<ServerInfo>, ApiError> {
    let counted = site.shard.snapshot().await.ok_or(ApiError::BrokerSilent)?;
    let about = &site.about;
    Ok(Json(ServerInfo {
        id: about.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_ms: u64::try_from(about.started.as_millis()).unwrap_or(u64::MAX),
        stores: counted.store.is_some(),
        history: site.inside.history.is_some(),
        mqtt: MqttInfo {
            port: about.mqtt.port(),
            max_packet_size: about.max_packet_size,
            clients: counted.broker.clients,
        },
    }))
}
