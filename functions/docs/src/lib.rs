//! The API's description, Swagger UI to read and try it, and the [`guide`]. Nothing is loaded from elsewhere: the pages
//! work without the internet.

pub mod guide;

use std::{io::Read as _, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http_api::{Links, Problem};
use jobs::{
    algorithm::{Kind, THUMBNAIL},
    colour::Colour,
    key::ModelKey,
};
use utoipa::{
    OpenApi,
    openapi::{
        self, ArrayBuilder, Components, Content, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat, Type,
        path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
    },
};
use utoipa_swagger_ui::Config;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Darkroom",
        description = "Image jobs: hand in an image, get a job; poll it, fetch its thumbnail and what was detected, \
            or be called back when it ends. Every route that takes `GET` takes `HEAD` as well, and answers it with the \
            same headers and no content.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "jobs", description = "Submitting, watching and deleting."),
        (name = "results", description = "What jobs leave behind."),
        (name = "algorithms", description = "What a job can run."),
        (name = "service", description = "The service itself."),
        (name = "older names", description = "The same in the words of two older services."),
    ),
)]
struct Service;

/// The description of every route, gathered from the functions that answer them.
#[must_use]
pub fn description() -> openapi::OpenApi {
    let mut description = Service::openapi();
    description.merge(submit::description());
    description.merge(status::description());
    http_api::access::describe(&mut description);
    name_algorithms(description.components.get_or_insert_default());
    for route in ["/jobs", "/uploads", "/run_task"] {
        let submission = description.paths.paths.get_mut(route).and_then(|item| item.post.as_mut());
        if let Some(submission) = submission {
            submission
                .parameters
                .get_or_insert_default()
                .extend(option_parameters().into_iter().map(RefOr::T));
        }
    }
    description
}

/// Says which algorithms a submission can name. What reads submissions is told so only when it runs.
fn name_algorithms(components: &mut Components) {
    let name = |schema: &mut RefOr<Schema>| {
        if let RefOr::T(Schema::Object(text)) = schema {
            text.enum_values = Some(algorithms().map(Into::into).collect());
        }
    };
    if let Some(RefOr::T(Schema::OneOf(choice))) = components.schemas.get_mut("AlgorithmChoice") {
        choice.items.iter_mut().for_each(name);
    }
    if let Some(RefOr::T(Schema::Object(choice))) = components.schemas.get_mut("DetailedChoice") {
        choice.properties.get_mut("name").into_iter().for_each(name);
    }
}

/// The names of every algorithm.
fn algorithms() -> impl Iterator<Item = &'static str> {
    detection::catalogue().into_iter().map(|specification| specification.name)
}

/// The options of a submission as they stand in a query: every parameter of every algorithm.
fn option_parameters() -> Vec<Parameter> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let names = listed(
        query(
            "algorithms",
            "What to run: names, separated by commas. A parameter asks for its algorithm, too.",
        ),
        ArrayBuilder::new().items(text().enum_values(Some(algorithms()))),
    );
    let callback_url = query("callback_url", "Where to POST when the job ends.");
    let callback_token = query(
        "callback_token",
        "`whsec_` and a key signs that POST; any other text is sent with it as a bearer token.",
    );
    let callback_headers = query(
        "callback_headers",
        "Headers of that POST, at most 5: a JSON object of names and values; or each as `callback_headers.NAME`.",
    );
    let deadline =
        query("deadline", "How long the job has to end, in seconds; a day, unless said otherwise.");
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(10)).maximum(Some(86_400));
    let mut options = vec![
        names,
        callback_url.schema(Some(text().format(Some(SchemaFormat::Custom("uri".to_owned()))))),
        callback_token.schema(Some(text().pattern(Some("^[!-~]{1,512}$")))),
        callback_headers
            .content("application/json", Content::new(Some(Ref::from_schema_name("CallbackHeaders")))),
        deadline.schema(Some(seconds)),
    ];
    for specification in detection::catalogue() {
        for parameter in specification.parameters {
            let name = if specification.name == THUMBNAIL {
                parameter.name.to_owned()
            } else {
                format!("{}.{}", specification.name, parameter.name)
            };
            let unit = parameter.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
            let text = format!("{} {}{unit}.", parameter.summary, parameter.kind);
            options.push(of_kind(query(name, text), &parameter.kind));
        }
    }
    options.into_iter().map(ParameterBuilder::build).collect()
}

fn query(name: impl Into<String>, text: impl Into<String>) -> ParameterBuilder {
    ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).description(Some(text))
}

/// A parameter that is a list, separated by commas.
fn listed(parameter: ParameterBuilder, list: ArrayBuilder) -> ParameterBuilder {
    parameter.schema(Some(list)).style(Some(ParameterStyle::Form)).explode(Some(false))
}

/// A parameter that takes in a query what [`Kind::read_text`] reads.
fn of_kind(parameter: ParameterBuilder, kind: &Kind) -> ParameterBuilder {
    let of = |one: Type| ObjectBuilder::new().schema_type(one);
    let schema = match *kind {
        Kind::Integer { min, max, .. } => of(Type::Integer).minimum(Some(min)).maximum(Some(max)),
        Kind::Number { min, max, .. } => of(Type::Number).minimum(Some(min)).maximum(Some(max)),
        Kind::Choice { values, .. } => of(Type::String).enum_values(Some(values.iter().copied())),
        Kind::Choices { values } => {
            let word = of(Type::String).enum_values(Some(values.iter().copied()));
            return listed(parameter, ArrayBuilder::new().items(word).min_items(Some(1)).unique_items(true));
        }
        Kind::Colour => of(Type::String).pattern(Some(Colour::PATTERN.replacen('#', "#?", 1))),
        Kind::Flag { .. } => of(Type::Boolean),
        Kind::Rectangle => of(Type::String).pattern(Some("^[0-9]+,[0-9]+,[1-9][0-9]*,[1-9][0-9]*$")),
        Kind::Model => of(Type::String).pattern(Some(ModelKey::PATTERN)),
    };
    parameter.schema(Some(schema))
}

/// The routes of this function.
pub fn router() -> Router {
    Router::new()
        .route("/openapi.json", get(get_description))
        .route("/docs", get(get_page))
        .route("/docs/{file}", get(get_file))
        .with_state(Arc::new(description()))
        .merge(guide::router())
}

/// The description, with the address it was asked at as its server.
async fn get_description(
    State(description): State<Arc<openapi::OpenApi>>,
    links: Links,
) -> Json<openapi::OpenApi> {
    let mut description = (*description).clone();
    description.servers = Some(vec![openapi::Server::new(links.base())]);
    Json(description)
}

/// What Swagger UI's page may load and ask: this service alone. It sets styles by itself, and has pictures in its
/// styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self'; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

/// Swagger UI's page. Its files lie below the page's own path, which a base element says.
async fn get_page(links: Links) -> Result<Response, Problem> {
    let (_, page) = file("index.html", &links)?;
    let page = String::from_utf8_lossy(&page)
        .replacen("<head>", &format!("<head>\n    <base href=\"{}\">", links.to("/docs/")), 1)
        .replacen("<title>Swagger UI</title>", "<title>Darkroom</title>", 1);
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    Ok((headers, page).into_response())
}

async fn get_file(links: Links, Path(name): Path<String>) -> Result<Response, Problem> {
    if name == "index.html" {
        return Ok(Redirect::permanent(&links.to("/docs")).into_response());
    }
    let (content_type, body) = file(&name, &links)?;
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// One of Swagger UI's files: its type and content.
fn file(name: &str, links: &Links) -> Result<(String, Vec<u8>), Problem> {
    let config = Arc::new(Config::new([links.to("/openapi.json")]));
    utoipa_swagger_ui::serve(name, config)
        .ok()
        .flatten()
        .and_then(|file| {
            let bytes = if file.gzpipped { unpacked(&file.bytes)? } else { file.bytes.into_owned() };
            Some((file.content_type, bytes))
        })
        .ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "no_such_route", "Swagger UI has no such file; see /docs.")
        })
}

/// A file that was compressed when the program was built. `None` where it was not, which would be a fault of the build.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{
        body::{Body, to_bytes},
        http::Request,
    };
    use serde_json::{Value, json};

    use super::*;

    async fn get_text(path: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        let response =
            http_api::service::answer(router(), request, Links::new("/v1"), "r-1", Duration::MAX).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), 10_000_000).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn the_description_is_openapi_3_1_at_the_address_it_was_asked_at() {
        let (status, body) = get_text("/openapi.json").await;
        assert_eq!(status, StatusCode::OK);
        let description: Value = serde_json::from_str(&body).expect("JSON");
        assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
        assert_eq!(description["servers"][0]["url"], "/v1");
        for path in ["/jobs", "/jobs/{id}/results/{algorithm}", "/job-submission", "/health"] {
            assert!(description["paths"][path].is_object(), "{path}");
        }
    }

    #[test]
    fn every_option_of_a_submission_is_described() {
        let text = description().to_json().expect("serialises");
        let description: Value = serde_json::from_str(&text).expect("JSON");
        let parameters = description["paths"]["/jobs"]["post"]["parameters"].as_array().expect("parameters");
        let names: Vec<_> = parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
        for name in
            ["algorithms", "callback_token", "deadline", "width", "fit", "preset", "poi_detection.sigma"]
        {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
    }

    #[test]
    fn an_option_in_a_query_is_described_by_its_kind() {
        let text = description().to_json().expect("serialises");
        let description: Value = serde_json::from_str(&text).expect("JSON");
        let parameters =
            description["paths"]["/uploads"]["post"]["parameters"].as_array().expect("parameters");
        let described =
            |name: &str| parameters.iter().find(|parameter| parameter["name"] == name).expect("a parameter");
        let width = &described("width")["schema"];
        assert_eq!((&width["type"], &width["minimum"]), (&json!("integer"), &json!(1)));
        assert_eq!(described("enlarge")["schema"]["type"], "boolean");
        assert_eq!(described("poi_detection.sigma")["schema"]["type"], "number");
        let fits = described("fit")["schema"]["enum"].as_array().expect("words");
        assert!(fits.contains(&json!("contain")), "{fits:?}");
        let preset = described("preset");
        assert_eq!((&preset["schema"]["type"], &preset["explode"]), (&json!("array"), &json!(false)));
        let background = &described("background")["schema"]["pattern"];
        assert!(background.as_str().is_some_and(|pattern| pattern.contains("|#?[0-9")), "{background}");
        assert!(described("callback_headers")["content"]["application/json"]["schema"].is_object());
        let names = described("algorithms")["schema"]["items"]["enum"].as_array().expect("names");
        let schemas = &description["components"]["schemas"];
        assert_eq!(schemas["AlgorithmChoice"]["oneOf"][0]["enum"].as_array(), Some(names));
        assert_eq!(schemas["DetailedChoice"]["properties"]["name"]["enum"].as_array(), Some(names));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let text = description().to_json().expect("serialises");
        let description: Value = serde_json::from_str(&text).expect("JSON");
        let references: Vec<_> =
            text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 10);
        for reference in references {
            assert!(description.pointer(reference).is_some(), "{reference}");
        }
    }

    #[tokio::test]
    async fn the_guide_is_served_page_by_page_with_its_style_and_a_policy() {
        let request = Request::builder().uri("/docs/guide").body(Body::empty()).expect("a request");
        let response =
            http_api::service::answer(router(), request, Links::new("/v1"), "r-1", Duration::MAX).await;
        let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).expect("a policy");
        assert!(policy.to_str().is_ok_and(|policy| policy.starts_with("default-src 'none'")), "{policy:?}");
        for page in guide::PAGES.iter().filter(|page| page.name != "index") {
            let (status, html) = get_text(&format!("/docs/guide/{}", page.name)).await;
            assert_eq!(status, StatusCode::OK, "{}", page.name);
            assert!(html.contains("<link rel=\"stylesheet\" href=\"/v1/docs/guide/guide.css\">"), "{html}");
        }
        assert_eq!(get_text("/docs/guide").await.0, StatusCode::OK);
        assert_eq!(get_text("/docs/guide/guide.css").await.0, StatusCode::OK);
        assert_eq!(get_text("/docs/guide/index").await.0, StatusCode::PERMANENT_REDIRECT);
        let (status, problem) = get_text("/docs/guide/other").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(problem.contains("no_such_route"), "{problem}");
    }

    #[tokio::test]
    async fn the_page_loads_nothing_from_elsewhere() {
        let (status, page) = get_text("/docs").await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("<base href=\"/v1/docs/\">"), "{page}");
        assert!(!page.contains("//"), "an address of elsewhere: {page}");
        let sources =
            page.split("src=\"").chain(page.split("rel=\"stylesheet\" type=\"text/css\" href=\"")).skip(1);
        for source in sources.filter_map(|rest| rest.split('"').next()).filter(|name| name.starts_with("./"))
        {
            let (status, _) = get_text(&format!("/docs/{}", source.trim_start_matches("./"))).await;
            assert_eq!(status, StatusCode::OK, "{source}");
        }
        let (_, initializer) = get_text("/docs/swagger-initializer.js").await;
        assert!(initializer.contains("\"/v1/openapi.json\""), "{initializer}");
        assert_eq!(get_text("/docs/other.js").await.0, StatusCode::NOT_FOUND);
    }
}
