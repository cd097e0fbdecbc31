//! Tests against servers on this machine, each of which answers in its own way.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
};

use jobs::secret::Secret;
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

/// Starts a server that answers each request by the function and closes the connection. Returns its port.
async fn serve_each(answer: impl Fn(&str) -> Vec<u8> + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 16_384];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let answer = answer(&String::from_utf8_lossy(&request[..length]));
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    port
}

/// Starts a server that gives every request the same answer. Returns its port.
async fn serve(answer: impl Into<Vec<u8>>) -> u16 {
    let answer = answer.into();
    serve_each(move |_| answer.clone()).await
}

fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn url(host: &str, port: u16) -> Url {
    Url::parse(&format!("http://{host}:{port}/image?secret=1")).expect("a URL")
}

/// The failure of a fetch: whether it is permanent, its code and its message.
async fn failure_of(outbound: &Outbound, url: &Url) -> (bool, String, String) {
    match outbound.fetch(url).await.expect_err("must fail") {
        FetchError::Permanent(failure) => (true, failure.code.into_owned(), failure.message),
        FetchError::Retryable { failure, .. } => (false, failure.code.into_owned(), failure.message),
    }
}

async fn code_of(outbound: &Outbound, url: &Url) -> (bool, String) {
    let (permanent, code, _) = failure_of(outbound, url).await;
    (permanent, code)
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
    let announced = serve(answer("200 OK", "", "x".repeat(1_001))).await;
    let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(5_000));
    let unannounced = serve(endless).await;
    for port in [announced, unannounced] {
        let expected = (true, "image_too_large".to_owned());
        assert_eq!(code_of(&outbound(), &url("here.test", port)).await, expected);
    }
}

#[tokio::test]
async fn no_coding_is_asked_for_and_those_that_come_are_taken_off() {
    use std::io::Write as _;
    let image = b"an image, an image, an image";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(image).expect("memory");
    let gzip = gzip.finish().expect("memory");
    let port = serve_each(move |request| {
        assert!(request.to_ascii_lowercase().contains("\r\naccept-encoding: identity\r\n"), "{request}");
        match request.split(' ').nth(1) {
            Some("/gzip") => answer("200 OK", "Content-Encoding: gzip\r\n", &gzip),
            Some("/aws") => answer("200 OK", "Content-Encoding: aws-chunked\r\n", image),
            Some("/lie") => answer("200 OK", "Content-Encoding: gzip\r\n", image),
            Some("/cut") => answer("200 OK", "Content-Encoding: gzip\r\n", &gzip[..gzip.len() - 9]),
            Some("/empty") => answer("200 OK", "Content-Encoding: gzip\r\n", ""),
            Some("/new") => answer("200 OK", "Content-Encoding: zstd\r\n", image),
            _ => answer("404 Not Found", "", ""),
        }
    })
    .await;
    let at = |path: &str| Url::parse(&format!("http://here.test:{port}/{path}")).expect("a URL");
    for path in ["gzip", "aws"] {
        assert_eq!(&outbound().fetch(&at(path)).await.expect("fetched").body[..], image, "{path}");
    }
    for (path, permanent, code, words) in [
        ("lie", true, "source_encoding", "says that its answer is gzip, and it is not"),
        ("new", true, "source_encoding", "`zstd`"),
        ("cut", false, "source_incomplete", "its gzip is cut off"),
        ("empty", true, "empty_image", "no bytes"),
    ] {
        let failure = failure_of(&outbound(), &at(path)).await;
        assert_eq!((failure.0, &*failure.1), (permanent, code), "{path}");
        assert!(failure.2.contains(words), "{}", failure.2);
    }
}

#[tokio::test]
async fn a_redirect_leads_where_a_browser_goes() {
    let port = serve_each(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let (status, to): (_, &[u8]) = match &*path {
            "/utf8" => ("302 Found", "/größe-東京.png".as_bytes()),
            "/latin1" => ("302 Found", b"/gr\xf6\xdfe.png"),
            "/query" => ("301 Moved Permanently", "/a.png?größe=1".as_bytes()),
            "/blank" => ("303 See Other", b"  /a b.png "),
            "/relative" => ("307 Temporary Redirect", b"a.png"),
            "/fragment" => ("302 Found", b"/a.png#part"),
            "/escaped" => ("302 Found", b"/a%20b%2Fc.png"),
            "/backslash" => ("302 Found", b"\\a.png"),
            "/self" => ("302 Found", b"?a"),
            "/empty" => ("302 Found", b""),
            "/ftp" => ("302 Found", b"ftp://here.test/a.png"),
            "/bad" => ("302 Found", b"http://[/"),
            "/port" => ("302 Found", b"http://here.test:25/"),
            "/name" => ("302 Found", b"http://user@here.test/"),
            "/none" => return answer("302 Found", "", ""),
            "/choice" => return answer("304 Not Modified", "Location: /a.png\r\n", ""),
            _ => return answer("200 OK", "", &path),
        };
        let location = [b"Location: ", to, b"\r\n"].concat();
        [format!("HTTP/1.1 {status}\r\n").as_bytes(), &location, b"content-length: 0\r\n\r\n"].concat()
    })
    .await;
    let at = |path: &str| Url::parse(&format!("http://here.test:{port}/{path}")).expect("a URL");
    for (path, asked_for) in [
        ("utf8", "/gr%C3%B6%C3%9Fe-%E6%9D%B1%E4%BA%AC.png"),
        ("latin1", "/gr%F6%DFe.png"),
        ("query", "/a.png?gr%C3%B6%C3%9Fe=1"),
        ("blank", "/a%20b.png"),
        ("relative", "/a.png"),
        ("fragment", "/a.png"),
        ("escaped", "/a%20b%2Fc.png"),
        ("backslash", "/a.png"),
        ("self", "/self?a"),
    ] {
        let fetched = outbound().fetch(&at(path)).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(fetched.body, asked_for.as_bytes(), "{path}");
    }
    for (path, words) in [
        ("empty", "answered 302 without an address that is followed"),
        ("ftp", "answered 302 without"),
        ("bad", "answered 302 without"),
        ("none", "answered 302 without"),
        ("choice", "answered 304"),
    ] {
        let failure = failure_of(&outbound(), &at(path)).await;
        assert_eq!((failure.0, &*failure.1), (true, "source_refused"), "{path}");
        assert!(failure.2.contains(words), "{path}: {}", failure.2);
    }
    for (path, words) in [("port", "to a port below 1024"), ("name", "with a user name")] {
        let failure = failure_of(&outbound(), &at(path)).await;
        assert_eq!((failure.0, &*failure.1), (true, "source_refused"), "{path}");
        assert!(failure.2.contains(words), "{path}: {}", failure.2);
    }
    let base = url("here.test", 80);
    let target =
        |location: &str| target_of(&base, &HeaderValue::from_bytes(location.as_bytes()).expect("a value"));
    assert_eq!(target("//other.test/x").map(String::from).as_deref(), Some("http://other.test/x"));
    assert_eq!(target("http://größe.test/").map(String::from).as_deref(), Some("http://xn--gre-6ka8i.test/"));
}

#[test]
fn a_redirect_gives_up_neither_encryption_nor_the_ports_of_the_web() {
    let may = |from: &str, to: &str| {
        may_lead_to(&Url::parse(from).expect("a URL"), &Url::parse(to).expect("a URL"))
    };
    for (from, to) in [
        ("http://a.test/", "https://b.test/"),
        ("http://a.test/", "http://b.test:8080/"),
        ("https://a.test/", "https://b.test:1024/"),
        ("https://a.test/", "https://b.test:80/"),
        ("http://a.test/", "http://b.test:443/"),
    ] {
        assert!(may(from, to), "{from} {to}");
    }
    for (from, to) in [
        ("https://a.test/", "http://a.test/"),
        ("https://a.test/", "https://b.test:22/"),
        ("http://a.test/", "http://b.test:1023/"),
        ("http://a.test/", "http://b.test:0/"),
        ("http://a.test/", "https://user@b.test/"),
        ("http://a.test/", "https://:word@b.test/"),
        ("http://a.test/", "gopher://b.test:8080/"),
    ] {
        assert!(!may(from, to), "{from} {to}");
    }
}

#[tokio::test]
async fn a_callback_goes_by_https_unless_the_deployment_named_its_network() {
    let check = async |field, text: &str| outbound().check(field, &Url::parse(text).expect("a URL")).await;
    for text in ["https://1.1.1.1/", "http://127.0.0.1:9/", "http://here.test/", "https://unknown.test/"] {
        check("callback_url", text).await.expect(text);
    }
    for text in ["http://1.1.1.1/", "http://unknown.test/"] {
        let refused = check("callback_url", text).await.expect_err(text);
        assert_eq!(refused.code, "invalid_url");
        assert!(refused.message.contains("must be https"), "{}", refused.message);
    }
    assert_eq!(check("callback_url", "http://10.0.0.1/").await.expect_err("private").code, "private_address");
    check("image_url", "http://1.1.1.1/").await.expect("an image is public anyway");
    for text in ["http://1.1.1.1:25/", "https://unknown.test:1023/"] {
        assert_eq!(check("image_url", text).await.expect_err(text).code, "invalid_url");
    }
}

#[tokio::test]
async fn every_way_to_fail_says_what_happened() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n";
    let cases: [(Vec<u8>, bool, &str, &str); 14] = [
        (
            format!("{head}content-length: 900\r\n\r\nhalf").into(),
            false,
            "source_incomplete",
            "after 4 of 900 bytes",
        ),
        (
            format!("{head}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").into(),
            false,
            "source_incomplete",
            "broke off within the image, after 4 bytes",
        ),
        (
            format!("{head}transfer-encoding: chunked\r\n\r\nnonsense\r\n").into(),
            false,
            "source_incomplete",
            "broke off within the image",
        ),
        (b"".to_vec(), false, "source_incomplete", "ended the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-".to_vec(), false, "source_incomplete", "without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), false, "source_unreachable", "is not HTTP"),
        (
            format!("{head}content-length: 1\r\ncontent-length: 2\r\n\r\nab").into(),
            false,
            "source_unreachable",
            "is not HTTP",
        ),
        (answer("204 No Content", "", ""), true, "empty_image", "no bytes"),
        (answer("200 OK", "", ""), true, "empty_image", "no bytes"),
        (
            answer("206 Partial Content", "content-range: bytes 0-3/900\r\n", "half"),
            false,
            "source_incomplete",
            "sent a part",
        ),
        (answer("401 Unauthorized", "", ""), true, "source_refused", "answered 401 (Unauthorized)"),
        (answer("404 Not Found", "", ""), true, "source_refused", "answered 404 (Not Found)"),
        (answer("500 Internal Server Error", "", ""), false, "source_unavailable", "answered 500"),
        (answer("429 Too Many Requests", "", ""), false, "source_unavailable", "answered 429"),
    ];
    for (answer, permanent, code, words) in cases {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let port = serve(answer).await;
        let failure = failure_of(&outbound(), &url("here.test", port)).await;
        assert_eq!((failure.0, &*failure.1), (permanent, code), "{shown}: {}", failure.2);
        assert!(failure.2.contains(words), "{shown}: {}", failure.2);
        assert!(!failure.2.contains("secret"), "{}", failure.2);
    }
    let whole = answer("206 Partial Content", "content-range: bytes 0-4/5\r\n", "image");
    let port = serve(whole).await;
    outbound().fetch(&url("here.test", port)).await.expect("a part that is the whole");
}

#[tokio::test]
async fn a_server_that_cannot_be_talked_to_says_why() {
    let closed = {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let plain = serve(answer("200 OK", "", "image")).await;
    let secure = Url::parse(&format!("https://here.test:{plain}/")).expect("a URL");
    for (url, code, words) in [
        (url("unknown.test", 80), "source_unreachable", "name of the server in `image_url` was not found"),
        (url("here.test", closed), "source_unreachable", "refused the connection"),
        (secure, "source_tls", "does it speak TLS at that port?"),
    ] {
        let failure = failure_of(&outbound(), &url).await;
        assert_eq!((failure.0, &*failure.1), (false, code), "{}", failure.2);
        assert!(failure.2.contains(words), "{}", failure.2);
    }
}

#[tokio::test]
async fn a_server_that_is_too_slow_is_given_up_and_how_far_it_got_is_told() {
    let silent = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let failure = failure_of(&outbound(), &url("here.test", port)).await;
    assert_eq!((failure.0, &*failure.1), (false, "source_timeout"));
    assert!(failure.2.contains("did not answer within 2 seconds"), "{}", failure.2);

    let slow = TcpListener::bind((LOOPBACK, 0)).await.expect("a port");
    let port = slow.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = slow.accept().await.expect("a client");
        let _ = stream.read(&mut [0; 4_096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nsome").await;
        // Stays open until the client goes.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let failure = failure_of(&outbound(), &url("here.test", port)).await;
    assert_eq!((failure.0, &*failure.1), (false, "source_timeout"));
    assert!(failure.2.contains("4 of 900 bytes within 2 seconds"), "{}", failure.2);
}

#[tokio::test]
async fn a_busy_server_says_when_it_wants_to_be_asked_again() {
    let port = serve(answer("503 Service Unavailable", "Retry-After: 90\r\n", "")).await;
    let error = outbound().fetch(&url("here.test", port)).await.expect_err("busy");
    let FetchError::Retryable { failure, after } = error else { panic!("{error}") };
    assert_eq!((&*failure.code, after), ("source_unavailable", Some(Duration::from_secs(90))));
}

#[tokio::test]
async fn a_callback_is_posted_once_and_a_redirect_is_its_answer() {
    let port = serve(answer("307 Temporary Redirect", "location: /x\r\nretry-after: 7\r\n", "")).await;
    let request = CallbackRequest { url: url("here.test", port), headers: Vec::new(), body: String::new() };
    let expected = Answer::Status { code: 307, retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(outbound().post(&request).await, expected);
}

#[tokio::test]
async fn a_callback_carries_its_headers_and_a_date_is_heeded() {
    let port = serve_each(|request| {
        let request = request.to_ascii_lowercase();
        assert!(request.contains("\r\nauthorization: basic dtpw\r\n"), "{request}");
        assert!(request.contains("\r\nx-api-key: hunter2\r\n"), "{request}");
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        answer("503 Service Unavailable", &format!("Retry-After: {later}\r\n"), "")
    })
    .await;
    let headers = [("authorization", "Basic dTpw"), ("x-api-key", "hunter2")];
    let headers = headers.map(|(name, value)| (name.into(), Secret::new(value.to_owned())));
    let request =
        CallbackRequest { url: url("here.test", port), headers: headers.into(), body: String::new() };
    assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
    let answer = outbound().post(&request).await;
    let Answer::Status { code: 503, retry_after: Some(wait) } = answer else { panic!("{answer:?}") };
    assert!((98..=100).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn a_password_in_a_callback_s_address_is_referred_to_its_headers() {
    let address = Url::parse("https://user:hunter2@example.com/").expect("a URL");
    for (field, advice) in [("callback_url", true), ("image_url", false)] {
        let refusal = outbound().check(field, &address).await.expect_err("refused");
        assert_eq!(refusal.code, "invalid_url");
        assert_eq!(refusal.message.contains("callback_headers"), advice, "{}", refusal.message);
        assert!(!refusal.message.contains("hunter2"), "{}", refusal.message);
    }
}
