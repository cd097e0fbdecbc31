//! The HTTP server: bounded in connections, requests and time, and drained at the end.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, Request, Response, StatusCode, Uri, header},
    response::IntoResponse as _,
};
use http_api::{Links, Problem, service::answer};
use hyper::{
    body::{Body as HttpBody, Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Sleep, sleep, timeout},
};
use uuid::Uuid;

use crate::metered;

/// How long a client may take to send a request's headers, or to begin the next request on a connection.
const HEADERS: Duration = Duration::from_secs(15);

/// How long a client may send nothing in the middle of a body.
const SILENCE: Duration = Duration::from_secs(20);

/// How long the service may take to begin its answer to a request.
const ANSWER: Duration = Duration::from_secs(30);

/// How long an upload may take in all: as long as its address works.
const UPLOAD: Duration = Duration::from_secs(3_600);

/// How many connections there are at most.
const CONNECTIONS: usize = 1_000;

/// How long to wait after a connection could not be accepted, for lack of file handles for example.
const PAUSE: Duration = Duration::from_millis(100);

/// A server.
pub(crate) struct Server {
    pub router: Router,
    /// The prefix of paths as clients see them. A proxy in front of the server may have removed it.
    pub base: String,
    /// How many requests are answered at the same time.
    pub requests: Arc<Semaphore>,
}

impl Server {
    /// Serves until told to stop, and then until every request is answered, for `grace` at the longest.
    pub(crate) async fn run(self, listener: TcpListener, mut stop: watch::Receiver<bool>, grace: Duration) {
        let server = Arc::new(self);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEADERS).max_concurrent_streams(50);
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = accept(&listener, &connections) => accepted,
            };
            let (stream, connection) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let server = server.clone();
            let service = service_fn(move |request| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.answer(request).await) }
            });
            let serving =
                graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
            tokio::spawn(async move {
                if let Err(error) = serving.await {
                    tracing::debug!(%error, "a connection broke off");
                }
                drop(connection);
            });
        }
        drop(listener);
        if timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests were not answered in time");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let started = Instant::now();
        let method = request.method().clone();
        let id = Uuid::now_v7().to_string();
        // What watches the process must not take it for dead because it is busy.
        let watches = ["/health/live", "/health/ready", "/metrics"].contains(&request.uri().path());
        let turn = self.requests.try_acquire();
        if turn.is_err() && !watches {
            metered::answered(&method, 429, started.elapsed());
            return self.refuse(&id).await;
        }
        let (mut parts, body) = request.into_parts();
        parts.uri = below(&self.base, parts.uri);
        let most = if parts.uri.path().starts_with("/objects/") { UPLOAD } else { ANSWER };
        let request = Request::from_parts(parts, Body::new(Patient::new(body)));
        let links = Links::new(&self.base);
        let response = answer(self.router.clone(), request, links, &id, most).await;
        metered::answered(&method, response.status().as_u16(), started.elapsed());
        response
    }

    /// The answer when there are too many requests.
    async fn refuse(&self, id: &str) -> Response<Body> {
        let refusing = Router::new().fallback(async || {
            let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "throttled", BUSY).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        });
        answer(refusing, Request::new(Body::empty()), Links::new(&self.base), id, ANSWER).await
    }
}

const BUSY: &str = "There are too many requests at the moment; try again in a second.";

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Option<tokio::sync::OwnedSemaphorePermit>)> {
    // The semaphore is never closed.
    let connection = connections.clone().acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, connection))
}

/// A request's URI as the router knows it: without the base, if it begins with that.
fn below(base: &str, uri: Uri) -> Uri {
    let base = base.trim_end_matches('/');
    let rest = uri.path_and_query().and_then(|path| path.as_str().strip_prefix(base));
    match rest {
        Some(rest) if !base.is_empty() && rest.starts_with('/') => rest.parse().unwrap_or(uri),
        _ => uri,
    }
}

/// A body that fails if its client sends nothing for too long.
struct Patient {
    body: Incoming,
    silence: Pin<Box<Sleep>>,
}

impl Patient {
    fn new(body: Incoming) -> Self {
        Self { body, silence: Box::pin(sleep(SILENCE)) }
    }
}

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.silence.as_mut().reset(tokio::time::Instant::now() + SILENCE);
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        self.silence.as_mut().poll(context).map(|()| Some(Err(io::ErrorKind::TimedOut.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_taken_off_where_a_proxy_has_left_it_on() {
        let split = |base, uri: &str| below(base, uri.parse().expect("an address")).to_string();
        assert_eq!(split("", "/jobs?limit=2"), "/jobs?limit=2");
        assert_eq!(split("/", "/jobs"), "/jobs");
        assert_eq!(split("/v1", "/v1/jobs?limit=2"), "/jobs?limit=2");
        assert_eq!(split("/v1/", "/v1/jobs"), "/jobs");
        assert_eq!(split("/v1", "/jobs"), "/jobs");
        assert_eq!(split("/v1", "/v10/jobs"), "/v10/jobs");
    }
}
