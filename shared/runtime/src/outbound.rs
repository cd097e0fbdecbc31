//! HTTP to addresses that clients name. Every address is checked when it is connected to, on every redirect and every
//! retry anew: the resolver returns permitted addresses only, and a literal address in a URL is checked before it is
//! used.

mod coding;
mod retry_after;
mod source;

use std::{
    error::Error as StdError,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jobs::{
    error::{Chain, Failure, Reason, Refusal},
    limits::Limits,
    ports::{Answer, CallbackRequest, CheckUrls, FetchError, FetchImages, Fetched, PostCallbacks},
};
use percent_encoding::{AsciiSet, percent_encode};
use reqwest::{
    Client, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{self, HeaderValue},
    redirect::Policy,
};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::networks::Networks;
use coding::CodingError;
use retry_after::retry_after;

/// How long a submission waits for a name to resolve. A name that takes longer is checked on connecting.
const RESOLVE: Duration = Duration::from_secs(2);

/// How long a receiver of a callback may take to answer.
const CALLBACK: Duration = Duration::from_secs(15);

const USER_AGENT: &str = concat!("Darkroom/", env!("CARGO_PKG_VERSION"));

/// The `Accept` header: images, as a browser asks for them, or else anything, for servers that do not know the type.
const ACCEPT: &str = "image/*, */*;q=0.8";

/// An address that must not be connected to.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the address is not permitted")]
struct NotPermitted;

/// A name that leads to no address.
#[derive(Debug, thiserror::Error)]
#[error("the name was not found")]
struct Unresolved(#[source] io::Error);

/// The function that looks a name up: the system's resolver, or a test's.
type Lookup = fn(&str) -> BoxFuture<io::Result<Vec<IpAddr>>>;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn system_lookup(name: &str) -> BoxFuture<io::Result<Vec<IpAddr>>> {
    let name = name.to_owned();
    Box::pin(
        async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) },
    )
}

#[derive(Clone)]
struct CheckedResolver {
    networks: Networks,
    lookup: Lookup,
}

impl CheckedResolver {
    /// The name's addresses; [`Unresolved`] if there are none, [`NotPermitted`] if one of them is not.
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, Box<dyn StdError + Send + Sync>> {
        let addresses = (self.lookup)(name).await.map_err(Unresolved)?;
        if addresses.is_empty() {
            return Err(Unresolved(io::ErrorKind::NotFound.into()).into());
        }
        if addresses.iter().all(|address| self.networks.permit(*address)) {
            Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
        } else {
            Err(NotPermitted.into())
        }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.resolve(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Installs ring as the cryptography of rustls, once for the process.
pub fn install_tls() {
    // This fails only if a provider is installed already, which is then used.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Outbound HTTP.
pub struct Outbound {
    resolver: CheckedResolver,
    limits: Limits,
    client: OnceLock<Option<Client>>,
}

impl Outbound {
    /// Outbound HTTP to the permitted networks, within the limits. The client is made when it is first needed, because
    /// it loads the trusted certificates, which checking a submission does not need.
    #[must_use]
    pub fn new(networks: Networks, limits: Limits) -> Self {
        Self::with_lookup(networks, limits, system_lookup)
    }

    fn with_lookup(networks: Networks, limits: Limits, lookup: Lookup) -> Self {
        Self { resolver: CheckedResolver { networks, lookup }, limits, client: OnceLock::new() }
    }

    fn client(&self) -> Option<&Client> {
        let made = self.client.get_or_init(|| {
            install_tls();
            Client::builder()
                .user_agent(USER_AGENT)
                .redirect(Policy::none())
                .no_proxy()
                .connect_timeout(self.limits.connect)
                .dns_resolver(Arc::new(self.resolver.clone()))
                .build()
                .inspect_err(|error| tracing::error!(error = %Chain(&error), "no HTTP client"))
                .ok()
        });
        made.as_ref()
    }

    fn permits_literal(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(address)) => self.resolver.networks.permit(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => self.resolver.networks.permit(IpAddr::V6(address)),
            Some(Host::Domain(_)) => true,
            None => false,
        }
    }

    async fn get(&self, url: &Url, deadline: Instant) -> Result<Response, FetchError> {
        if !self.permits_literal(url) {
            return Err(private("image_url").into());
        }
        let client = self.client().ok_or_else(|| FetchError::Retryable {
            failure: Failure::new(
                "internal_error",
                "The image could not be asked for, by a fault of the service.",
            ),
            after: None,
        })?;
        // The header is explicit, because without it a server may use any coding (RFC 9110, 12.5.3).
        let request = client
            .get(url.clone())
            .header(header::ACCEPT, ACCEPT)
            .header(header::ACCEPT_ENCODING, "identity");
        match timeout_at(deadline, request.send()).await {
            Err(_) => Err(source::too_slow(self.limits.fetch, None)),
            Ok(answer) => answer.map_err(|error| {
                // The URL may have a secret in its query, so it is not logged.
                let error = error.without_url();
                tracing::info!(error = %Chain(&error), "the image's server was not reached");
                source::unanswered(&error, self.limits.connect)
            }),
        }
    }

    /// The content of an answer, decoded.
    async fn content(&self, mut response: Response, deadline: Instant) -> Result<Fetched, FetchError> {
        let (limit, within) = (self.limits.fetch_bytes, self.limits.fetch);
        let undecoded = |error: CodingError| source::undecoded(&error, limit, within);
        source::require_whole(response.status(), response.headers())?;
        let codings = coding::codings(response.headers()).map_err(undecoded)?;
        let announced = response.content_length();
        if announced.is_some_and(|length| length > limit) {
            return Err(source::too_large(limit));
        }
        let mut body = BytesMut::new();
        loop {
            let received = (body.len() as u64, announced);
            let chunk = match timeout_at(deadline, response.chunk()).await {
                Err(_) => return Err(source::too_slow(within, Some(received))),
                Ok(Ok(None)) => break,
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Err(error)) => {
                    let error = error.without_url();
                    tracing::info!(error = %Chain(&error), "the image's server broke off");
                    return Err(source::broke_off(received));
                }
            };
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(source::too_large(limit));
            }
            body.extend_from_slice(&chunk);
        }
        let mut body = body.freeze();
        if !codings.is_empty() && !body.is_empty() {
            let (first, until) = (codings[0], deadline.into_std());
            let decoding = tokio::task::spawn_blocking(move || coding::decode(body, &codings, limit, until));
            // If a decoder panics, the content is not valid.
            let decoded = decoding.await.unwrap_or(Err(CodingError::Invalid(first)));
            body = Bytes::from(decoded.map_err(undecoded)?);
        }
        if body.is_empty() {
            return Err(Failure::new("empty_image", "The image at `image_url` has no bytes.").into());
        }
        Ok(Fetched { body })
    }
}

/// The statuses whose `Location` is followed.
fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 300 | 301 | 302 | 303 | 307 | 308)
}

/// The target of a redirect from `url`, as browsers read it: each byte that is not ASCII counts as if it were escaped.
fn target_of(url: &Url, location: &HeaderValue) -> Option<Url> {
    // Beyond ASCII, `percent_encode` escapes everything.
    const NOTHING: &AsciiSet = &AsciiSet::EMPTY;
    let location = percent_encode(location.as_bytes().trim_ascii(), NOTHING).to_string();
    let target = url.join(&location).ok().filter(|_| !location.is_empty())?;
    may_lead_to(url, &target).then_some(target)
}

/// Whether a redirect is followed: not from https to http, where others could read and change what is sent, not with a
/// user name, and not to a port of a service that is no web server.
fn may_lead_to(from: &Url, to: &Url) -> bool {
    let secure = match to.scheme() {
        "https" => true,
        "http" => from.scheme() == "http",
        _ => false,
    };
    secure && has_port_of_the_web(to) && to.username().is_empty() && to.password().is_none()
}

/// Whether a URL leads to a port at which there may be a web server, and not another service.
fn has_port_of_the_web(url: &Url) -> bool {
    url.port_or_known_default().is_some_and(|port| matches!(port, 80 | 443 | 1_024..))
}

#[async_trait]
impl FetchImages for Outbound {
    async fn fetch(&self, url: &Url) -> Result<Fetched, FetchError> {
        let deadline = Instant::now() + self.limits.fetch;
        let mut url = url.clone();
        for _ in 0..=self.limits.redirects {
            let response = self.get(&url, deadline).await?;
            let status = response.status();
            if status.is_success() {
                return self.content(response, deadline).await;
            }
            if !redirects(status) {
                return Err(source::refused(status, retry_after(response.headers(), SystemTime::now())));
            }
            let target = response.headers().get(header::LOCATION).and_then(|to| target_of(&url, to));
            url = target.ok_or_else(|| source::leads_nowhere(status))?;
        }
        Err(source::too_many_redirects(self.limits.redirects))
    }
}

#[async_trait]
impl PostCallbacks for Outbound {
    async fn post(&self, request: &CallbackRequest) -> Answer {
        // A name may lead elsewhere than when the job was submitted.
        if !self.permits_literal(&request.url)
            || request.url.scheme() == "http" && !self.is_named(&request.url).await
        {
            return Answer::Refused;
        }
        let Some(client) = self.client() else {
            return Answer::None;
        };
        let mut post = client.post(request.url.clone()).timeout(CALLBACK).body(request.body.clone());
        for (name, value) in &request.headers {
            let Ok(mut value) = HeaderValue::from_str(value.expose()) else {
                tracing::error!(%name, "a header of a callback cannot be sent");
                continue;
            };
            value.set_sensitive(true);
            post = post.header(&**name, value);
        }
        match post.send().await {
            Ok(response) => Answer::Status {
                code: response.status().as_u16(),
                retry_after: retry_after(response.headers(), SystemTime::now()),
            },
            Err(error) => {
                let error = error.without_url();
                tracing::info!(
                    error = %Chain(&error),
                    "the receiver of the callback gave no answer"
                );
                if source::is_not_permitted(&error) { Answer::Refused } else { Answer::None }
            }
        }
    }
}

#[async_trait]
impl CheckUrls for Outbound {
    async fn check(&self, field: &'static str, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            let text = format!("`{field}` must be an absolute http or https URL.");
            return Err(Refusal::invalid("invalid_url", text));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let instead = if field == "callback_url" {
                "; send them as `Authorization` in `callback_headers`"
            } else {
                ""
            };
            let text = format!("`{field}` must not contain a user name or a password{instead}.");
            return Err(Refusal::invalid("invalid_url", text));
        }
        let permitted = match url.host() {
            Some(Host::Domain(name)) => {
                let resolved = tokio::time::timeout(RESOLVE, self.resolver.resolve(name)).await;
                !matches!(resolved, Ok(Err(error)) if error.is::<NotPermitted>())
            }
            _ => self.permits_literal(url),
        };
        if !permitted {
            return Err(refusal(field));
        }
        if !has_port_of_the_web(url) && !self.is_named(url).await {
            let text = format!("`{field}` must name port 80, 443, or one from 1024 on.");
            return Err(Refusal::invalid("invalid_url", text));
        }
        if field == "callback_url" && url.scheme() == "http" && !self.is_named(url).await {
            let text = "`callback_url` must be https: what is sent would be open to others on its way.";
            return Err(Refusal::invalid("invalid_url", text));
        }
        Ok(())
    }
}

impl Outbound {
    /// Whether a URL's host is in the networks that the deployment named, which it knows to be safe.
    async fn is_named(&self, url: &Url) -> bool {
        let networks = &self.resolver.networks;
        match url.host() {
            Some(Host::Ipv4(address)) => networks.is_named(address.into()),
            Some(Host::Ipv6(address)) => networks.is_named(address.into()),
            Some(Host::Domain(name)) => {
                let resolved = tokio::time::timeout(RESOLVE, self.resolver.resolve(name)).await;
                resolved.is_ok_and(|resolved| {
                    resolved.is_ok_and(|all| all.iter().all(|address| networks.is_named(address.ip())))
                })
            }
            None => false,
        }
    }
}

fn refusal(field: &str) -> Refusal {
    Refusal::new(
        Reason::Forbidden,
        "private_address",
        format!("`{field}` must name a host on the public internet; this one is private, local or reserved."),
    )
}

fn private(field: &str) -> Failure {
    let Refusal { code, message, .. } = refusal(field);
    Failure::new(code, message)
}

#[cfg(test)]
mod tests;
