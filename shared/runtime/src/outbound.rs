//! HTTP to addresses that clients name. Every address is checked at the moment of connecting: the resolver hands out
//! none that is not permitted, and a literal address in a URL is checked before it is used; on every redirect and
//! every retry anew.

use std::{
    error::Error as StdError,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jobs::{
    error::{Failure, Reason, Refusal},
    limits::Limits,
    ports::{Answer, CallbackRequest, CheckUrls, FetchError, FetchImages, Fetched, PostCallbacks},
};
use reqwest::{
    Client, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header,
    redirect::Policy,
};
use url::{Host, Url};

use crate::networks::Networks;

/// How long a submission waits for a name to resolve; connecting decides about names that take longer.
const RESOLVE: Duration = Duration::from_secs(2);

/// How long a receiver of a callback may take to answer.
const CALLBACK: Duration = Duration::from_secs(15);

const USER_AGENT: &str = concat!("Darkroom/", env!("CARGO_PKG_VERSION"));

/// An address that must not be connected to.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the address is not permitted")]
struct NotPermitted;

#[derive(Clone)]
struct CheckedResolver(Networks);

impl CheckedResolver {
    /// The name's addresses, or [`NotPermitted`] if one of them is not.
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, Box<dyn StdError + Send + Sync>> {
        let addresses: Vec<_> = tokio::net::lookup_host((name, 0)).await?.collect();
        if addresses.is_empty() {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        }
        if addresses.iter().all(|address| self.0.permit(address.ip())) {
            Ok(addresses)
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

/// Outbound HTTP.
pub struct Outbound {
    resolver: CheckedResolver,
    limits: Limits,
    client: OnceLock<Option<Client>>,
}

impl Outbound {
    /// Outbound HTTP to the networks that are permitted, within the limits. The client is made when it is first
    /// needed: it loads the trusted certificates, which a submission's checks do without.
    #[must_use]
    pub fn new(networks: Networks, limits: Limits) -> Self {
        Self { resolver: CheckedResolver(networks), limits, client: OnceLock::new() }
    }

    fn client(&self) -> Option<&Client> {
        let made = self.client.get_or_init(|| {
            // Fails only where a provider is installed already, which is then the one in use.
            drop(rustls::crypto::ring::default_provider().install_default());
            Client::builder()
                .user_agent(USER_AGENT)
                .redirect(Policy::none())
                .no_proxy()
                .connect_timeout(self.limits.connect)
                .dns_resolver(Arc::new(self.resolver.clone()))
                .build()
                .inspect_err(|error| tracing::error!(error = error as &dyn StdError, "no HTTP client"))
                .ok()
        });
        made.as_ref()
    }

    fn permits_literal(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(address)) => self.resolver.0.permit(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => self.resolver.0.permit(IpAddr::V6(address)),
            Some(Host::Domain(_)) => true,
            None => false,
        }
    }

    async fn fetch_following(&self, url: &Url) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        for _ in 0..=self.limits.redirects {
            let response = self.get(&url).await?;
            let status = response.status();
            if status.is_success() {
                return self.body(response).await;
            }
            let location = response.headers().get(header::LOCATION).filter(|_| status.is_redirection());
            let Some(location) = location else {
                return Err(refused_by_server(status));
            };
            url = location
                .to_str()
                .ok()
                .and_then(|location| url.join(location).ok())
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .ok_or_else(|| {
                    Failure::new("source_refused", "The image's server redirects to no address.")
                })?;
        }
        let text = format!("The image's server redirects more than {} times.", self.limits.redirects);
        Err(Failure::new("too_many_redirects", text).into())
    }

    async fn get(&self, url: &Url) -> Result<Response, FetchError> {
        if !self.permits_literal(url) {
            return Err(private("image_url").into());
        }
        let client = self.client().ok_or_else(|| FetchError::Retryable(unreachable()))?;
        client.get(url.clone()).header(header::ACCEPT, "image/*").send().await.map_err(|error| {
            tracing::info!(error = &error as &dyn StdError, "the image's server was not reached");
            if is_not_permitted(&error) {
                FetchError::Permanent(private("image_url"))
            } else {
                FetchError::Retryable(unreachable())
            }
        })
    }

    async fn body(&self, mut response: Response) -> Result<Fetched, FetchError> {
        let limit = self.limits.fetch_bytes;
        let too_large = || {
            let text =
                format!("The image at `image_url` has more than {limit} bytes; POST /uploads takes more.");
            FetchError::Permanent(Failure::new("image_too_large", text))
        };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| FetchError::Retryable(unreachable()))? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        if body.is_empty() {
            return Err(Failure::new("empty_image", "The image at `image_url` has no bytes.").into());
        }
        Ok(Fetched { body: Bytes::from(body) })
    }
}

#[async_trait]
impl FetchImages for Outbound {
    async fn fetch(&self, url: &Url) -> Result<Fetched, FetchError> {
        tokio::time::timeout(self.limits.fetch, self.fetch_following(url)).await.unwrap_or_else(|_| {
            let text = format!("The image was not fetched within {} seconds.", self.limits.fetch.as_secs());
            Err(FetchError::Retryable(Failure::new("source_timeout", text)))
        })
    }
}

#[async_trait]
impl PostCallbacks for Outbound {
    async fn post(&self, request: &CallbackRequest) -> Answer {
        let Some(client) = self.client().filter(|_| self.permits_literal(&request.url)) else {
            return Answer::None;
        };
        let mut post = client.post(request.url.clone()).timeout(CALLBACK).body(request.body.clone());
        for (name, value) in &request.headers {
            post = post.header(*name, value);
        }
        match post.send().await {
            Ok(response) => Answer::Status {
                code: response.status().as_u16(),
                retry_after: response
                    .headers()
                    .get(header::RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.parse().ok())
                    .map(Duration::from_secs),
            },
            Err(error) => {
                // The address may carry a secret in its query.
                let error = error.without_url();
                tracing::info!(
                    error = &error as &dyn StdError,
                    "the receiver of the callback gave no answer"
                );
                Answer::None
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
            let text = format!("`{field}` must not contain a user name or a password.");
            return Err(Refusal::invalid("invalid_url", text));
        }
        let permitted = match url.host() {
            Some(Host::Domain(name)) => {
                let resolved = tokio::time::timeout(RESOLVE, self.resolver.resolve(name)).await;
                !matches!(resolved, Ok(Err(error)) if error.is::<NotPermitted>())
            }
            _ => self.permits_literal(url),
        };
        if permitted { Ok(()) } else { Err(refusal(field)) }
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

fn unreachable() -> Failure {
    Failure::new("source_unreachable", "The server of `image_url` could not be reached.")
}

fn refused_by_server(status: StatusCode) -> FetchError {
    let answered = format!("The server of `image_url` answered {}.", status.as_u16());
    if status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
    {
        FetchError::Retryable(Failure::new("source_unavailable", answered))
    } else {
        FetchError::Permanent(Failure::new("source_refused", answered))
    }
}

fn is_not_permitted(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPermitted>() {
            return true;
        }
        cause = error.source();
    }
    false
}
