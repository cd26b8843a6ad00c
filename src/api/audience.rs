//! Where whom one writes to, and what, is asked for: contacts, templates, campaigns, automations.
//!
//! Owns:       their paths, and how long a request to them may be.
//! Promises:   each operation stands in the document.
//! Knows not:  what they do.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::Shared;
use super::{
    automation_runs, automations, campaign_links, campaign_looks, campaign_outlook,
    campaign_progress, campaign_reports, campaigns, contact_bulk, contact_domains, contact_fields,
    contact_story, contacts, imports, list_forms, lists, saved_blocks, sealing, segments,
    templates, themes, tracking,
};

/// Of requests that hold a template: body, text and subject, each escaped in JSON.
const TEMPLATE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Who is written to.
pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(contacts::list, contacts::add))
        .routes(routes!(contacts::count))
        .routes(routes!(contact_bulk::bulk))
        .routes(routes!(contacts::export))
        .routes(routes!(contacts::show, contacts::change, contacts::remove))
        .routes(routes!(contact_domains::show, contact_domains::set))
        .routes(routes!(contact_fields::list, contact_fields::add))
        .routes(routes!(sealing::show))
        .routes(routes!(sealing::rotate))
        .routes(routes!(sealing::reseal))
        .routes(routes!(contact_fields::change))
        .routes(routes!(lists::list, lists::add))
        .routes(routes!(lists::change))
        .routes(routes!(list_forms::show, list_forms::set))
        .routes(routes!(campaign_progress::growth))
        .routes(routes!(lists::tags))
        .routes(routes!(segments::list, segments::add))
        .routes(routes!(segments::change, segments::remove))
        .routes(routes!(segments::count))
        .routes(routes!(segments::ready))
        .routes(routes!(contact_story::story))
        .routes(routes!(contact_story::hand_over))
        .routes(routes!(contact_story::erase))
        .routes(routes!(imports::list))
        .routes(routes!(imports::show, imports::remove))
        .routes(routes!(imports::start))
        .routes(routes!(imports::cancel))
        .routes(routes!(imports::failed))
        .merge(campaign_routes())
}

/// Templates are longer than other requests.
fn campaign_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(templates::list, templates::add))
        .routes(routes!(templates::preview))
        .routes(routes!(templates::show, templates::change, templates::remove))
        .routes(routes!(templates::layouts, templates::add_layout))
        .routes(routes!(templates::change_layout, templates::remove_layout))
        .routes(routes!(saved_blocks::list, saved_blocks::add))
        .routes(routes!(saved_blocks::change, saved_blocks::remove))
        .routes(routes!(campaigns::list, campaigns::add))
        .routes(routes!(campaigns::show, campaigns::change, campaigns::remove))
        .routes(routes!(campaigns::step))
        .routes(routes!(campaigns::winner))
        .routes(routes!(campaigns::copy))
        .routes(routes!(campaign_looks::preview))
        .routes(routes!(campaign_looks::look))
        .routes(routes!(campaign_links::links))
        .routes(routes!(campaign_looks::test))
        .routes(routes!(campaign_outlook::compare))
        .routes(routes!(campaign_outlook::outlook))
        .routes(routes!(campaign_outlook::go_on))
        .routes(routes!(campaign_reports::report))
        .routes(routes!(campaign_reports::recipients))
        .routes(routes!(campaign_progress::progress))
        .routes(routes!(campaign_progress::deliveries))
        .routes(routes!(automations::list, automations::add))
        .routes(routes!(automations::show, automations::change, automations::remove))
        .routes(routes!(automations::step))
        .routes(routes!(automation_runs::runs))
        .routes(routes!(automation_runs::stop_run))
        .routes(routes!(automation_runs::tell))
        .routes(routes!(tracking::show, tracking::change))
        .routes(routes!(themes::show, themes::set))
        .layer(DefaultBodyLimit::max(TEMPLATE_BYTES_MAX))
}
