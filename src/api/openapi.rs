//! The OpenAPI 3.1 document: made from the handlers, finished with what all of them share.
//!
//! Owns:       the document's head, security schemes, the answers that every operation can give.
//! Promises:   what is routed is in the document, what is in the document is routed.
//! Knows not:  what any operation does.

use std::collections::{BTreeMap, HashMap};

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder,
};

use super::access::{Call, ORGANIZATION_HEADER, needs};
use super::caller::SESSION_COOKIE;
use super::problem::Problem;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Postroad",
        description = "Times are microseconds since 1970 UTC. Lists run by cursors: give `next` \
                       as `cursor` for what follows. Errors are problems (RFC 9457) that name the \
                       field. Unknown fields are refused.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(Problem))
)]
struct Head;

/// What the routes are added to.
pub(super) fn head() -> OpenApi {
    Head::openapi()
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "daemon",
    responses((status = 200, body = serde_json::Value)))]
pub(super) async fn show(call: Call<needs::Anybody>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], call.document())
}

/// The name of every operation, by method and path.
pub(super) fn by_path(mut document: OpenApi) -> HashMap<(String, String), String> {
    complete_all(&mut document);
    let mut names = HashMap::new();
    for (path, item) in &document.paths.paths {
        let PathItem { get, put, post, delete, patch, .. } = item;
        let methods = [("get", get), ("put", put), ("post", post), ("delete", delete)];
        for (method, operation) in methods.into_iter().chain([("patch", patch)]) {
            let name = operation.as_ref().and_then(|one| one.operation_id.clone());
            names.extend(name.map(|name| ((method.to_owned(), path.clone()), name)));
        }
    }
    names
}

/// Adds what every operation shares, and gives the text that is served.
pub(super) fn finish(mut document: OpenApi) -> String {
    let mut components = document.components.take().unwrap_or_default();
    for (name, scheme) in schemes() {
        components.add_security_scheme(name, scheme);
    }
    document.components = Some(components);
    complete_all(&mut document);
    // What was made of our own types can always be written.
    document.to_json().unwrap_or_default()
}

/// Of every operation.
pub(super) fn names(mut document: OpenApi) -> Vec<String> {
    complete_all(&mut document);
    let all = document.paths.paths.values_mut().flat_map(operations);
    all.filter_map(|operation| operation.operation_id.clone()).collect()
}

/// Resources that share a tag may have verbs in common; then the one that the tag is not named
/// after is named after its path.
fn complete_all(document: &mut OpenApi) {
    let mut names = BTreeMap::new();
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            complete(operation);
            *names.entry(operation.operation_id.clone()).or_insert(0) += 1;
        }
    }
    for (path, item) in &mut document.paths.paths {
        let resource = path.trim_start_matches("/v1/").split('/').next().unwrap_or_default();
        for operation in operations(item) {
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            let name = operation.operation_id.clone();
            let is_shared = names.get(&name).is_some_and(|count| *count > 1);
            if let (true, Some(name)) = (is_shared && resource != tag, name) {
                let verb = name.trim_start_matches(&format!("{tag}_"));
                operation.operation_id = Some(format!("{}_{verb}", resource.replace('-', "_")));
            }
        }
    }
}

fn schemes() -> [(&'static str, SecurityScheme); 3] {
    let http = |scheme, text: &str| {
        let scheme = HttpBuilder::new().scheme(scheme).description(Some(text.to_owned()));
        SecurityScheme::Http(scheme.build())
    };
    [
        ("key", http(HttpAuthScheme::Bearer, "An API key, as it was shown when it was made.")),
        ("basic", http(HttpAuthScheme::Basic, "Name and secret of a credential.")),
        ("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(SESSION_COOKIE)))),
    ]
}

fn operations(item: &mut PathItem) -> Vec<&mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten().collect()
}

fn complete(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
    let name = operation.operation_id.take().unwrap_or_default();
    // Handlers are named by what they do, files by what they do it to.
    operation.operation_id = Some(format!("{tag}_{name}"));
    let Some(needs) = operation.security.as_mut() else {
        operation.security = Some(vec![SecurityRequirement::default()]);
        add_answers(operation, &[]);
        return;
    };
    let permissions = needs.first().map(permissions_of).unwrap_or_default();
    let also = |name: &str| SecurityRequirement::new(name, permissions.clone());
    needs.extend(["basic", "session"].map(also));
    operation.parameters.get_or_insert_default().push(organization());
    add_answers(operation, &[("401", "Who asks is not known."), ("403", "He may not do this.")]);
}

/// The requirement keeps its parts to itself, and shows them only as JSON.
fn permissions_of(requirement: &SecurityRequirement) -> Vec<String> {
    let value = serde_json::to_value(requirement).unwrap_or_default();
    serde_json::from_value(value["key"].clone()).unwrap_or_default()
}

fn organization() -> RefOr<utoipa::openapi::path::Parameter> {
    let text = "The organization it is about, for callers that belong to more than one.";
    let id = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    let parameter = ParameterBuilder::new()
        .name(ORGANIZATION_HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(text))
        .schema(Some(id.build()));
    RefOr::T(parameter.build())
}

fn add_answers(operation: &mut Operation, own: &[(&str, &str)]) {
    let shared = [
        ("404", "There is no such thing, or it is another's."),
        ("422", "A field or parameter is wrong; the problem names it."),
        ("429", "Too much; the header Retry-After says when to try again."),
        ("503", "Something we need is away; try again."),
        ("default", "Anything else that is wrong with the request."),
    ];
    for (status, text) in own.iter().chain(&shared) {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let answer = ResponseBuilder::new()
            .description(*text)
            .content("application/problem+json", problem)
            .build();
        operation.responses.responses.entry((*status).to_owned()).or_insert(RefOr::T(answer));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::routes;
    use super::*;
    use crate::model::Permission;

    fn document() -> Value {
        let text = finish(routes().into_openapi());
        serde_json::from_str(&text).expect("a document")
    }

    /// The problems are the same everywhere, and would be two thirds of the snapshot.
    fn without_problems() -> Value {
        let mut document = document();
        let paths = document["paths"].as_object_mut().expect("paths");
        for item in paths.values_mut().flat_map(|item| item.as_object_mut().expect("an item")) {
            let responses = item.1["responses"].as_object_mut().expect("responses");
            responses.retain(|status, _| status.starts_with('2'));
        }
        document
    }

    /// Path, method, operation.
    fn operations() -> Vec<(String, String, Value)> {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let all = paths.iter().flat_map(|(path, item)| {
            let item = item.as_object().expect("an item");
            item.iter().map(|(method, operation)| (path.clone(), method.clone(), operation.clone()))
        });
        all.collect()
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_tag_and_a_sentence() {
        let mut names = BTreeSet::new();
        for (path, method, operation) in operations() {
            let name = operation["operationId"].as_str().expect("a name").to_owned();
            assert!(names.insert(name.clone()), "{method} {path}: {name} is another's");
            assert!(!name.starts_with('_'), "{method} {path} has no tag");
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(summary.len() > 5, "{method} {path} says not what it does");
        }
        assert!(names.len() > 10);
    }

    #[test]
    fn every_parameter_that_stands_in_a_path_is_declared() {
        for (path, method, operation) in operations() {
            let declared = operation["parameters"].as_array().cloned().unwrap_or_default();
            for part in path.split('{').filter_map(|rest| rest.split_once('}')) {
                let is_it = |one: &Value| one["in"] == "path" && one["name"] == part.0;
                assert!(declared.iter().any(is_it), "{method} {path}: {}", part.0);
            }
        }
    }

    #[test]
    fn every_answer_of_an_operation_has_a_schema() {
        for (path, method, operation) in operations() {
            let responses = operation["responses"].as_object().expect("responses");
            let mut good = 0;
            for (status, response) in responses {
                good += u32::from(status.starts_with('2'));
                let empty = ["204", "304"].contains(&status.as_str());
                let content = response["content"].as_object();
                let described = content.is_some_and(|kinds| {
                    !kinds.is_empty() && kinds.values().all(|kind| kind.get("schema").is_some())
                });
                assert!(described || empty, "{method} {path}: {status} has no schema");
            }
            assert!(good > 0, "{method} {path} never succeeds");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().expect("a pointer");
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
    }

    /// The panel's types are made of it. `scripts/openapi` writes it anew.
    #[test]
    fn the_snapshot_beside_the_panel_is_this_document() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web/openapi.json");
        let document = without_problems();
        if std::env::var_os("POSTROAD_WRITE_OPENAPI").is_some() {
            let mut text = serde_json::to_string_pretty(&document).expect("JSON");
            text.push('\n');
            std::fs::write(&file, text).expect("written");
        }
        let text = std::fs::read_to_string(&file).expect("a snapshot");
        let kept: Value = serde_json::from_str(&text).expect("JSON");
        assert!(kept == document, "web/openapi.json is stale: run scripts/openapi");
    }

    #[test]
    fn every_need_is_a_permission_that_there_is() {
        for (path, method, operation) in operations() {
            let needs = operation["security"].as_array().expect("a security");
            for scope in needs.iter().filter_map(|need| need["key"].as_array()).flatten() {
                let word = scope.as_str().expect("a word");
                assert!(word.parse::<Permission>().is_ok(), "{method} {path}: {word}");
            }
        }
    }

    /// A route that is added past `routes!` would be served without being in the document.
    #[test]
    fn every_route_comes_from_an_annotated_handler() {
        let source = include_str!("mod.rs");
        for word in [".route(", ".route_service(", ".nest_service(", ".nest("] {
            assert!(!source.contains(word), "mod.rs: {word}…) is in no document");
        }
    }
}
