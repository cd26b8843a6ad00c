//! Builds store, listeners, workers, api; start order, drain order; notices dead tasks.

use std::net::SocketAddr;

use crate::clock::Clock;
use crate::config::Settings;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the daemon is not built yet")]
    Unbuilt,
}

/// Where the daemon listens.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pub submission: Vec<SocketAddr>,
    pub submissions: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
}

pub struct App {
    addresses: Addresses,
}

impl App {
    pub async fn start(_settings: Settings, _clock: Clock) -> Result<App, AppError> {
        Err(AppError::Unbuilt)
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub async fn stop(self) -> Result<(), AppError> {
        Ok(())
    }
}

/// Runs until SIGTERM or SIGINT, then drains.
pub async fn serve(_settings: crate::config::Settings) -> Result<(), AppError> {
    Err(AppError::Unbuilt)
}
