//! Builds store, listeners, workers, api; start order, drain order; notices dead tasks.

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the daemon is not built yet")]
    Unbuilt,
}

/// Runs until SIGTERM or SIGINT, then drains.
pub async fn serve(
    _settings: crate::config::Settings,
    _again: crate::config::Again,
) -> Result<(), AppError> {
    Err(AppError::Unbuilt)
}
