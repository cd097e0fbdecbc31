//! The ways in which a request can hold an image, or say where it is.

use axum::{
    RequestExt as _,
    body::Bytes,
    extract::{FromRequest as _, Request},
    http::{StatusCode, header},
};
use http_api::{Problem, extract};
use jobs::{
    algorithm::THUMBNAIL,
    callback_headers::CallbackHeaders,
    error::{Reason, Refusal},
    secret::Secret,
    submit::{self, Submitter, media_type},
};
use serde::Deserialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::{
    FORM_OVERHEAD,
    form::{self, Part},
    options::{AlgorithmChoice, HeadersSchema, Options, Texts},
};

/// A submission by address; also the JSON of a form's `request` part.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Submission {
    /// Where the image is: `http` or `https`, on the public internet. In a form, only where there is no file.
    #[schema(format = "uri")]
    image_url: Option<String>,
    /// What to run; nothing means the 100×100 thumbnail.
    #[serde(default)]
    algorithms: Vec<AlgorithmChoice>,
    /// Where to POST when the job ends.
    #[schema(format = "uri")]
    callback_url: Option<String>,
    /// `whsec_` and a key signs that POST; any other text is sent with it as a bearer token. Never shown again.
    #[schema(value_type = Option<String>, pattern = "^[!-~]{1,512}$")]
    callback_token: Option<Secret>,
    /// Headers of that POST, at most 5; the values are never shown again.
    #[schema(value_type = Option<HeadersSchema>)]
    callback_headers: Option<CallbackHeaders>,
    /// How long the job has to end, in seconds; a job that has not ended by then fails. A day, unless said otherwise.
    #[schema(minimum = 10, maximum = 86_400)]
    deadline: Option<u64>,
}

impl Submission {
    fn into_parts(self) -> (Option<String>, Options) {
        let Self { image_url, algorithms, callback_url, callback_token, callback_headers, deadline } = self;
        (image_url, Options { algorithms, callback_url, callback_token, callback_headers, deadline })
    }
}

/// A submission as a form. Options may also be parts of their own, named as in the query.
// A form knows no null: what is not there is left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; parts are read one by one")]
pub(crate) struct Form {
    /// The file. Another name serves as well where there is no other file.
    #[schema(value_type = Option<String>, format = Binary, nullable = false)]
    image: Option<Vec<u8>>,
    /// Where the image is, if there is no file.
    #[schema(format = "uri", nullable = false)]
    image_url: Option<String>,
    /// The options, as JSON.
    #[schema(nullable = false)]
    request: Option<Submission>,
}

/// A submission, its image at hand or to be fetched.
pub(crate) enum Image {
    Inline(Bytes, submit::Request),
    At(String, submit::Request),
}

/// Reads a request by its content type.
pub(crate) async fn read(submitter: &Submitter, mut request: Request) -> Result<Image, Problem> {
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default();
    let extract::ApiQuery(texts) = request.extract_parts::<extract::ApiQuery<Texts>>().await?;
    let kind = media_type(&content_type);
    if kind.starts_with("multipart/") {
        read_form(submitter, request, texts, &content_type).await
    } else if is_json(&kind) {
        let extract::Body(body) = extract::Body::from_request(request, &()).await?;
        from_json(submitter, &body, texts)
    } else {
        let body = bytes_of(submitter, request).await?;
        from_file(submitter, body, texts, &kind)
    }
}

/// Whether a media type is JSON's: its own, that of an older service, or one that is built upon it (RFC 6839, 3.1).
fn is_json(media_type: &str) -> bool {
    matches!(media_type, "application/json" | "text/json") || media_type.ends_with("+json")
}

async fn bytes_of(submitter: &Submitter, request: Request) -> Result<Bytes, Problem> {
    let body = extract::Body::from_request(request, &()).await;
    body.map(|extract::Body(bytes)| bytes).map_err(|problem| {
        if problem.status() == StatusCode::PAYLOAD_TOO_LARGE {
            submitter.too_large_inline().into()
        } else {
            problem
        }
    })
}

/// A body that is neither a form nor JSON by its type. Where that says nothing of an image, it is one all the same if
/// its content is of a kind that is known, be it one that is then refused by name; else it can be what clients send by
/// such a type where nobody has told them another: JSON, or a form without files.
fn from_file(submitter: &Submitter, body: Bytes, texts: Texts, kind: &str) -> Result<Image, Problem> {
    let is_unknown = !submitter.takes_type(kind)
        && (submitter.identify)(&body)
            .is_err_and(|refusal| ["unknown_format", "empty_image"].contains(&refusal.code));
    if !is_unknown {
        let request = Options::default().into_request(&submitter.catalogue, texts)?;
        return Ok(Image::Inline(body, request));
    }
    if !kind.starts_with("image/") && extract::without_mark(&body).trim_ascii_start().starts_with(b"{") {
        return from_json(submitter, &body, texts);
    }
    if kind == "application/x-www-form-urlencoded" && body.len() <= FORM_OVERHEAD {
        let mut fields = Fields::new(texts);
        for (name, text) in form_urlencoded::parse(&body) {
            let content = Bytes::from(text.into_owned().into_bytes());
            fields.add(submitter, Part { name: name.into_owned(), content, ..Part::default() })?;
        }
        if fields.url.is_some() || fields.request.is_some() {
            return fields.into_image(submitter);
        }
    }
    Err(Refusal::new(
        Reason::UnsupportedType,
        "unsupported_content_type",
        "Send a form (multipart/form-data) with the file as `image`, the file itself with its image/* type, or JSON \
         (application/json) with `image_url`.",
    )
    .into())
}

fn from_json(submitter: &Submitter, body: &[u8], texts: Texts) -> Result<Image, Problem> {
    let (url, options) = extract::json::<Submission>(body)?.into_parts();
    let request = options.into_request(&submitter.catalogue, texts)?;
    let url = url.ok_or_else(|| {
        Refusal::invalid("missing_image", "Name the image's address as `image_url`, or send the file itself.")
    })?;
    Ok(Image::At(url, request))
}

async fn read_form(
    submitter: &Submitter,
    request: Request,
    texts: Texts,
    content_type: &str,
) -> Result<Image, Problem> {
    let boundary = form::boundary(content_type).ok_or_else(|| {
        let text =
            "The form's Content-Type names no boundary; let your HTTP client set that header by itself.";
        Refusal::invalid("invalid_form", text)
    })?;
    let body = bytes_of(submitter, request).await?;
    let parts =
        form::parts(&body, &boundary).map_err(|error| Refusal::invalid("invalid_form", error.to_string()))?;
    let mut fields = Fields::new(texts);
    for part in parts {
        fields.add(submitter, part)?;
    }
    fields.into_image(submitter)
}

/// What the parts of a form are.
struct Fields {
    image: Option<Bytes>,
    /// Files by other names than `image`.
    files: Vec<(String, Bytes)>,
    url: Option<String>,
    request: Option<Bytes>,
    texts: Texts,
}

impl Fields {
    fn new(texts: Texts) -> Self {
        Self { image: None, files: Vec::new(), url: None, request: None, texts }
    }

    /// Adds a part. One that a browser sends of a field for a file in which none was chosen is none, and neither is an
    /// empty `image_url`.
    fn add(&mut self, submitter: &Submitter, part: Part) -> Result<(), Problem> {
        let Part { name, file_name, content_type, content } = part;
        if content.is_empty() && file_name.as_deref() == Some("") {
            return Ok(());
        }
        let is_file = file_name.is_some()
            || submitter.takes_type(&content_type)
            || (submitter.identify)(&content).is_ok();
        match name.as_str() {
            "image" if self.image.is_some() => {
                let text = "A job has one image: send the part `image` once.";
                return Err(Refusal::invalid("duplicate_image", text).into());
            }
            "image" if !is_file && is_address(&content) => {
                let text = "The part `image` has an address and no file: send that as `image_url`.";
                return Err(Refusal::invalid("missing_image", text).into());
            }
            "image" => self.image = Some(content),
            "request" if self.request.is_some() => {
                let text = "A job has one set of options: send the part `request` once.";
                return Err(Refusal::invalid("duplicate_request", text).into());
            }
            "request" => self.request = Some(content),
            "image_url" if content.trim_ascii().is_empty() => {}
            "image_url" if self.url.is_some() => return Err(extract::given_twice("image_url")),
            "image_url" => self.url = Some(text_of(content.trim_ascii())),
            _ if is_file && !is_option(submitter, &name) => self.files.push((name, content)),
            "" => {
                let text = "A part of the form has no name: call the file `image`.";
                return Err(Refusal::invalid("invalid_form", text).into());
            }
            _ => self.texts.push((name, text_of(&content))),
        }
        Ok(())
    }

    /// The submission that they make together.
    fn into_image(mut self, submitter: &Submitter) -> Result<Image, Problem> {
        extract::each_once(&self.texts)?;
        let submission: Submission =
            self.request.map(|json| extract::json(&json)).transpose()?.unwrap_or_default();
        let (url, options) = submission.into_parts();
        if url.is_some() && self.url.is_some() {
            return Err(extract::given_twice("image_url"));
        }
        let url = self.url.or(url);
        let request = options.into_request(&submitter.catalogue, self.texts)?;
        let duplicate = |text: String| Err(Refusal::invalid("duplicate_image", text).into());
        let image = match (self.image, self.files.pop()) {
            (image, None) => image,
            (None, Some((_, file))) if self.files.is_empty() => Some(file),
            (None, Some(_)) => {
                return duplicate("The form has several files: send one, as the part `image`.".to_owned());
            }
            (Some(_), Some((name, _))) => {
                let name = shown(&name);
                return duplicate(format!("The form has the file {name} beside `image`: send one."));
            }
        };
        match (image, url) {
            (Some(_), Some(_)) => duplicate("A job has one image: send a file or an `image_url`.".to_owned()),
            (Some(image), None) => Ok(Image::Inline(image, request)),
            (None, Some(url)) => Ok(Image::At(url, request)),
            (None, None) => {
                let text = "Send the file as the form's part `image`, or its address as `image_url`.";
                Err(Refusal::invalid("missing_image", text).into())
            }
        }
    }
}

fn text_of(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

/// A part's name as it can stand in a message.
fn shown(name: &str) -> String {
    const MOST: usize = 40;
    if name.is_empty() || name.len() > MOST { "of another name".to_owned() } else { format!("`{name}`") }
}

fn is_address(content: &[u8]) -> bool {
    let content = content.trim_ascii();
    [&b"http://"[..], b"https://"]
        .iter()
        .any(|scheme| content.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// Whether a part of that name is an option, whether its client calls it a file or not.
fn is_option(submitter: &Submitter, name: &str) -> bool {
    if matches!(name, "algorithms" | "deadline") || name.starts_with("callback_") {
        return true;
    }
    let (algorithm, parameter) = name.split_once('.').unwrap_or((THUMBNAIL, name));
    submitter
        .catalogue
        .iter()
        .filter(|specification| specification.name == algorithm)
        .any(|specification| specification.parameters.iter().any(|known| known.name == parameter))
}
