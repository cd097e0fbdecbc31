//! The three ways in which a request can hold an image.

use axum::{
    RequestExt as _,
    body::Bytes,
    extract::{FromRequest as _, Multipart, Request, multipart::MultipartError},
    http::{StatusCode, header},
};
use http_api::{Problem, extract};
use jobs::{
    error::{Reason, Refusal},
    submit::{Submitter, Wishes, media_type},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::options::{AlgorithmChoice, Options, Texts};

/// A submission by address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Submission {
    /// Where the image is: `http` or `https`, on the public internet.
    image_url: Option<String>,
    /// What to run; nothing means the 100×100 thumbnail.
    #[serde(default)]
    algorithms: Vec<AlgorithmChoice>,
    /// Where to POST when the job ends.
    callback_url: Option<String>,
    /// Signs and authorises that POST; never shown again.
    #[schema(value_type = Option<String>)]
    callback_token: Option<jobs::secret::Secret>,
}

/// A submission as a form. Options may also be parts of their own, named as in the query.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; parts are read one by one")]
pub(crate) struct Form {
    /// The file.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// The options.
    request: Option<Options>,
}

/// A submission, its image at hand or to be fetched.
pub(crate) enum Image {
    Inline(Bytes, Wishes),
    At(String, Wishes),
}

/// Reads a request by its content type.
pub(crate) async fn read(submitter: &Submitter, mut request: Request) -> Result<Image, Problem> {
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(media_type)
        .unwrap_or_default();
    let extract::ApiQuery(texts) = request.extract_parts::<extract::ApiQuery<Texts>>().await?;
    match content_type.as_str() {
        "multipart/form-data" => read_form(submitter, request, texts).await,
        "application/json" => read_json(submitter, request, texts).await,
        "application/octet-stream" => read_raw(submitter, request, texts).await,
        kind if kind.starts_with("image/") => read_raw(submitter, request, texts).await,
        _ => read_unnamed(submitter, request, texts).await,
    }
}

/// A body whose type says nothing of an image. It is one all the same where its content is of a kind that is known, be it one
/// that is then refused by name.
async fn read_unnamed(submitter: &Submitter, request: Request, texts: Texts) -> Result<Image, Problem> {
    let image = read_raw(submitter, request, texts).await?;
    let Image::Inline(bytes, _) = &image else { return Ok(image) };
    match (submitter.identify)(bytes) {
        Err(refusal) if ["unknown_format", "empty_image"].contains(&refusal.code) => Err(Refusal::new(
            Reason::UnsupportedType,
            "unsupported_content_type",
            "Send a form (multipart/form-data) with the file as `image`, the file itself with its image/* type, or \
             JSON (application/json) with `image_url`.",
        )
        .into()),
        _ => Ok(image),
    }
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

async fn read_raw(submitter: &Submitter, request: Request, texts: Texts) -> Result<Image, Problem> {
    let wishes = Options::default().into_wishes(&submitter.catalogue, texts)?;
    Ok(Image::Inline(bytes_of(submitter, request).await?, wishes))
}

async fn read_json(submitter: &Submitter, request: Request, texts: Texts) -> Result<Image, Problem> {
    let extract::Body(body) = extract::Body::from_request(request, &()).await?;
    let Submission { image_url, algorithms, callback_url, callback_token } = extract::json(&body)?;
    let options = Options { algorithms, callback_url, callback_token };
    let wishes = options.into_wishes(&submitter.catalogue, texts)?;
    let url = image_url.ok_or_else(|| {
        Refusal::invalid("missing_image", "Name the image's address as `image_url`, or send the file itself.")
    })?;
    Ok(Image::At(url, wishes))
}

async fn read_form(submitter: &Submitter, request: Request, mut texts: Texts) -> Result<Image, Problem> {
    let unreadable = |error: &MultipartError| -> Problem {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return submitter.too_large_inline().into();
        }
        let text = "The form cannot be read: it is cut off, or its boundary is not the one announced.";
        Refusal::invalid("invalid_form", text).into()
    };
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| {
        Problem::from(Refusal::invalid("invalid_form", "The form's Content-Type names no boundary."))
    })?;
    let (mut image, mut request) = (None, None);
    while let Some(part) = form.next_field().await.map_err(|error| unreadable(&error))? {
        let name = part.name().unwrap_or_default().to_owned();
        let content = part.bytes().await.map_err(|error| unreadable(&error))?;
        match name.as_str() {
            "image" if image.is_some() => {
                let text = "A job has one image: send the part `image` once.";
                return Err(Refusal::invalid("duplicate_image", text).into());
            }
            "image" => image = Some(content),
            "request" if request.is_some() => {
                let text = "A job has one set of options: send the part `request` once.";
                return Err(Refusal::invalid("duplicate_request", text).into());
            }
            "request" => request = Some(content),
            _ => texts.push((name, String::from_utf8_lossy(&content).into_owned())),
        }
    }
    extract::each_once(&texts)?;
    let options: Options = request.map(|json| extract::json(&json)).transpose()?.unwrap_or_default();
    let wishes = options.into_wishes(&submitter.catalogue, texts)?;
    let image = image
        .ok_or_else(|| Refusal::invalid("missing_image", "Send the file as the form's part `image`."))?;
    Ok(Image::Inline(image, wishes))
}
