//! Builds store, listeners, workers, api; start order, drain order; notices dead tasks.

use std::net::SocketAddr;

use crate::clock::Clock;
use crate::config::Settings;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AppError(pub String);

/// Where the daemon listens.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pub submission: Vec<SocketAddr>,
    pub submissions: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
}

pub struct App {}

impl App {
    pub async fn start(settings: Settings, clock: Clock) -> Result<App, AppError> {
        todo!()
    }
    pub fn addresses(&self) -> &Addresses {
        todo!()
    }
    pub async fn stop(self) -> Result<(), AppError> {
        todo!()
    }
}
