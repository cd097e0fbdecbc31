//! HTTP to addresses that clients name. Every address is checked at the moment of connecting: the resolver hands out
//! none that is not permitted, and a literal address in a URL is checked before it is used; on every redirect and
//! every retry anew.

use std::{
    error::Error as StdError,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jobs::{
    error::{Chain, Failure, Reason, Refusal},
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

/// Looks a name up: the system's resolver, or a test's.
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
    /// The name's addresses, or [`NotPermitted`] if one of them is not.
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, Box<dyn StdError + Send + Sync>> {
        let addresses = (self.lookup)(name).await?;
        if addresses.is_empty() {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
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
        Self::with_lookup(networks, limits, system_lookup)
    }

    fn with_lookup(networks: Networks, limits: Limits, lookup: Lookup) -> Self {
        Self { resolver: CheckedResolver { networks, lookup }, limits, client: OnceLock::new() }
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
            // The address may carry a secret in its query, and so may a callback's.
            let error = error.without_url();
            tracing::info!(error = %Chain(&error), "the image's server was not reached");
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
        if !self.permits_literal(&request.url) {
            return Answer::Refused;
        }
        let Some(client) = self.client() else {
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
                let error = error.without_url();
                tracing::info!(
                    error = %Chain(&error),
                    "the receiver of the callback gave no answer"
                );
                if is_not_permitted(&error) { Answer::Refused } else { Answer::None }
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

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

    /// Names that say where they lead; `rebinding` leads to this machine first and to a private address from then on.
    fn lookup(name: &str) -> BoxFuture<io::Result<Vec<IpAddr>>> {
        static REBINDING: AtomicUsize = AtomicUsize::new(0);
        let addresses = match name {
            "here.test" => Ok(vec![LOOPBACK]),
            "private.test" => Ok(vec![PRIVATE]),
            "mixed.test" => Ok(vec![PUBLIC, PRIVATE]),
            "rebinding.test" if REBINDING.fetch_add(1, Ordering::SeqCst) == 0 => Ok(vec![LOOPBACK]),
            "rebinding.test" => Ok(vec![PRIVATE]),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Box::pin(async { addresses })
    }

    /// Outbound HTTP that may reach this machine besides the internet.
    fn outbound() -> Outbound {
        let here = Networks::allowing(vec!["127.0.0.1/32".parse().expect("a network")]);
        let limits = Limits { fetch_bytes: 1_000, fetch: Duration::from_secs(2), ..Limits::default() };
        Outbound::with_lookup(here, limits, lookup)
    }

    /// A server that gives every request the same answer, and its port.
    async fn serve(answer: String) -> u16 {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4_096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        port
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn url(host: &str, port: u16) -> Url {
        Url::parse(&format!("http://{host}:{port}/image?secret=1")).expect("a URL")
    }

    async fn code_of(outbound: &Outbound, url: &Url) -> (bool, String) {
        match outbound.fetch(url).await.expect_err("must fail") {
            FetchError::Permanent(failure) => (true, failure.code.into_owned()),
            FetchError::Retryable(failure) => (false, failure.code.into_owned()),
        }
    }

    #[tokio::test]
    async fn an_image_is_fetched_by_name() {
        let port = serve(answer("200 OK", "", "image")).await;
        let fetched = outbound().fetch(&url("here.test", port)).await.expect("fetched");
        assert_eq!(fetched.body, Bytes::from_static(b"image"));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_not_connected_to() {
        for host in ["private.test", "mixed.test", "10.0.0.1", "[::1]", "127.0.0.2"] {
            let expected = (true, "private_address".to_owned());
            assert_eq!(code_of(&outbound(), &url(host, 9)).await, expected, "{host}");
            let refused = outbound().check("image_url", &url(host, 9)).await.expect_err("refused at once");
            assert_eq!(refused.code, "private_address");
            let request = CallbackRequest { url: url(host, 9), headers: Vec::new(), body: String::new() };
            assert_eq!(outbound().post(&request).await, Answer::Refused);
        }
    }

    #[tokio::test]
    async fn a_redirect_to_a_private_name_is_not_followed() {
        let port = serve(answer("302 Found", "location: http://private.test/\r\n", "")).await;
        let expected = (true, "private_address".to_owned());
        assert_eq!(code_of(&outbound(), &url("here.test", port)).await, expected);
    }

    #[tokio::test]
    async fn a_name_is_checked_again_when_it_is_connected_to() {
        let port = serve(answer("200 OK", "", "image")).await;
        let rebinding = url("rebinding.test", port);
        let outbound = outbound();
        outbound.check("image_url", &rebinding).await.expect("at first, it leads to where it may");
        assert_eq!(code_of(&outbound, &rebinding).await, (true, "private_address".to_owned()));
    }

    #[tokio::test]
    async fn answers_are_permanent_or_retryable_by_their_status() {
        for (status, permanent, code) in [
            ("404 Not Found", true, "source_refused"),
            ("403 Forbidden", true, "source_refused"),
            ("429 Too Many Requests", false, "source_unavailable"),
            ("503 Service Unavailable", false, "source_unavailable"),
        ] {
            let port = serve(answer(status, "", "")).await;
            assert_eq!(code_of(&outbound(), &url("here.test", port)).await, (permanent, code.to_owned()));
        }
        let unknown = url("unknown.test", 80);
        assert_eq!(code_of(&outbound(), &unknown).await, (false, "source_unreachable".to_owned()));
        outbound().check("image_url", &unknown).await.expect("connecting decides");
    }

    #[tokio::test]
    async fn no_more_is_read_than_allowed_announced_or_not() {
        let announced = serve(answer("200 OK", "", &"x".repeat(1_001))).await;
        let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(5_000));
        let unannounced = serve(endless).await;
        for port in [announced, unannounced] {
            let expected = (true, "image_too_large".to_owned());
            assert_eq!(code_of(&outbound(), &url("here.test", port)).await, expected);
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let expected = (false, "source_timeout".to_owned());
        assert_eq!(code_of(&outbound(), &url("here.test", port)).await, expected);
    }

    #[tokio::test]
    async fn a_callback_is_posted_once_and_a_redirect_is_its_answer() {
        let port = serve(answer("307 Temporary Redirect", "location: /x\r\nretry-after: 7\r\n", "")).await;
        let request =
            CallbackRequest { url: url("here.test", port), headers: Vec::new(), body: String::new() };
        let expected = Answer::Status { code: 307, retry_after: Some(Duration::from_secs(7)) };
        assert_eq!(outbound().post(&request).await, expected);
    }
}
