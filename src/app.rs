//! Builds store, listeners, workers, api; start order, drain order; notices dead tasks.
