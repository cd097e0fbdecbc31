//! `darkroom serve` as a process of its own, on a folder: used, misused, stopped and killed.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

fn darkroom(arguments: &[&str]) -> Command {
    program(Path::new(env!("CARGO_BIN_EXE_darkroom")), arguments)
}

fn program(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A running process; dropped, it is killed.
struct Serving {
    child: Child,
    base: String,
}

impl Serving {
    /// Starts it on a free port, and waits until it says where it listens.
    fn start(folder: &Path) -> Self {
        Self::start_on("0", folder)
    }

    fn start_on(port: &str, folder: &Path) -> Self {
        let folder = folder.to_str().unwrap();
        let mut command = darkroom(&["serve", "--port", port, "--data-dir", folder, "--grace-seconds", "20"]);
        // An image that kills its worker three times is given up. Here the test kills it, so there are more attempts.
        Self::of(command.env("ALLOWED_NETWORKS", "127.0.0.1/32").env("MAX_ATTEMPTS", "100"))
    }

    /// Runs a program and waits until it says where it listens.
    fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let first = said.next().expect("a line on start");
        let base = first.rsplit(' ').next().unwrap().to_owned();
        assert!(base.starts_with("http://127.0.0.1:"), "{first}");
        // The rest of its output is read, so that it never waits for a reader.
        std::thread::spawn(move || said.for_each(drop));
        Self { child, base }
    }

    fn kill(mut self) {
        // SIGKILL.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(&self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Waits until it has ended.
    fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn route(&self, route: &str) -> String {
        format!("{}{route}", self.base)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client() -> Client {
    runtime::outbound::install_tls();
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

async fn read(answer: reqwest::Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

async fn get(client: &Client, url: &str) -> (StatusCode, Value) {
    let answer = client.get(url).send().await.unwrap();
    (answer.status(), read(answer).await)
}

/// A PNG of its own, so that jobs can be told apart by their images.
fn png(shade: u8) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(60, 40, image::Rgb([shade, 128, 255 - shade]));
    picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

async fn settled(client: &Client, job: &str) -> Value {
    let started = Instant::now();
    loop {
        let (status, job) = get(client, job).await;
        assert_eq!(status, StatusCode::OK);
        if ["succeeded", "failed"].contains(&job["status"].as_str().unwrap()) {
            return job;
        }
        assert!(started.elapsed() < PATIENCE, "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_service_with_keys_shows_each_owner_its_own_jobs_and_obeys_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let keys = |arguments: &[&str]| {
        let arguments = [&["keys", "--data-dir", data], arguments].concat();
        let done: Output = darkroom(&arguments).stdout(Stdio::piped()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let new =
        |arguments: &[&str]| keys(&[&["create"], arguments].concat()).lines().next().unwrap().to_owned();
    let nowhere = darkroom(&["keys", "list", "--data-dir", data]).output().unwrap();
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("is no folder of a service"));
    // One is made before there is any service.
    let first = new(&["team-a", "--jobs-at-once", "1000", "--bytes-a-day", "100000"]);
    let mut command = darkroom(&["serve", "--port", "0", "--data-dir", data]);
    let serving = Serving::of(command.env("ACCESS", "keys"));
    let (second, admin) = (new(&["team-b"]), new(&["root", "--scopes", "admin"]));
    let client = client();
    let ask = async |method: &str, route: &str, key: &str, body: Vec<u8>| {
        let request = client.request(method.parse().unwrap(), serving.route(route));
        let answer =
            request.bearer_auth(key).header("content-type", "image/png").body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    };
    let (status, job) = ask("POST", "/jobs", &first, png(1)).await;
    assert_eq!(status, 202);
    let route = format!("/jobs/{}", job["job_id"].as_str().unwrap());
    for (key, status) in [(&first, 200), (&second, 404), (&admin, 200), (&"dk_none".to_owned(), 401)] {
        assert_eq!(ask("GET", &route, key, vec![]).await.0, status);
    }
    for (key, jobs) in [(&first, 1), (&second, 0), (&admin, 1)] {
        assert_eq!(ask("GET", "/jobs", key, vec![]).await.1["jobs"].as_array().unwrap().len(), jobs);
    }
    assert_eq!(ask("DELETE", &route, &second, vec![]).await.0, 404);
    for route in ["/health", "/health/ready", "/openapi.json", "/docs"] {
        assert_eq!(
            client.get(serving.route(route)).send().await.unwrap().status(),
            StatusCode::OK,
            "{route}"
        );
    }
    for route in ["/jobs", "/algorithms", "/usage", "/thumbnails"] {
        let answer = client.get(serving.route(route)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{route}");
    }
    // A quota that no day is enough for, so that this holds at midnight, too.
    let large = [png(2), vec![0; 100_000]].concat();
    let (status, problem) = ask("POST", "/jobs", &first, large).await;
    assert_eq!((status, &problem["code"]), (429, &json!("quota_used_up")));
    let (_, usage) = ask("GET", "/usage", &first, vec![]).await;
    assert_eq!((&usage["owner"], &usage["days"][0]["jobs"]), (&json!("team-a"), &json!(1)));
    assert_eq!(ask("GET", "/usage?owner=team-a", &second, vec![]).await.0, 403);
    assert_eq!(ask("GET", "/usage?owner=team-a", &admin, vec![]).await.1["days"], usage["days"]);

    let checked = darkroom(&["check", &serving.base]).env("DARKROOM_KEY", &admin).status().unwrap();
    assert!(checked.success());
    let listed = keys(&["list"]);
    let id = listed.lines().find(|line| line.contains("team-b")).unwrap().split(' ').next().unwrap();
    assert!(!listed.contains(&second), "{listed}");
    keys(&["revoke", id]);
    assert!(!keys(&["list"]).contains("team-b"));
}

#[tokio::test]
async fn a_job_goes_through_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path());
    for command in ["health", "check"] {
        let asked: Output = darkroom(&[command, &serving.base]).stdout(Stdio::piped()).output().unwrap();
        assert!(asked.status.success(), "{command}: {}", String::from_utf8_lossy(&asked.stderr));
    }
    let client = client();
    let (status, ready) = get(&client, &serving.route("/health/ready")).await;
    assert_eq!((status, &ready["status"]), (StatusCode::OK, &json!("ok")));
    let metrics = client.get(serving.route("/metrics")).send().await.unwrap().text().await.unwrap();
    for counted in [
        "darkroom_jobs_total{status=\"succeeded\",code=\"\"} 1",
        "darkroom_stage_seconds_count{stage=\"work\"} 1",
        "darkroom_http_requests_total{method=\"POST\",status=\"202\"} 1",
        "darkroom_queue_messages{queue=\"jobs\"} 0",
        "darkroom_queue_dead_letters{queue=\"jobs\"} 0",
    ] {
        assert!(metrics.lines().any(|line| line == counted), "{counted} in {metrics}");
    }
}

#[tokio::test]
async fn the_first_service_s_users_find_what_they_had() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path());
    let client = client();
    let page = client.get(serving.route("/docs")).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let (status, fake) = get(&client, &serving.route("/status/fake")).await;
    assert_eq!(
        (status, &fake["job_id"], &fake["code"]),
        (StatusCode::NOT_FOUND, &json!("fake"), &json!(404))
    );
    let submission =
        json!({"image_url": serving.route("/docs/favicon-32x32.png"), "algorithm_name": "thumbnail"});
    let answer = client
        .post(serving.route("/job-submission"))
        .header("content-type", "application/json")
        .body(submission.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let submitted = read(answer).await;
    let id = submitted["job_id"].as_str().unwrap();
    settled(&client, &serving.route(&format!("/jobs/{id}"))).await;
    let (_, status) = get(&client, &serving.route(&format!("/status/{id}"))).await;
    assert_eq!(status["status"], "Completed", "{status}");
}

#[tokio::test]
async fn a_signed_address_takes_one_upload_of_what_it_was_signed_for() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path());
    let client = client();
    let image = png(1);
    let wanted = json!({"content_type": "image/png", "bytes": image.len()}).to_string();
    let granted =
        client.post(serving.route("/uploads")).header("content-type", "application/json").body(wanted);
    let granted = read(granted.send().await.unwrap()).await;
    let address = granted["upload"]["url"].as_str().unwrap().replace("localhost", "127.0.0.1");
    let put = async |address: &str, content_type: &str, body: Vec<u8>| {
        let put = client.put(address).header("content-type", content_type).body(body);
        put.send().await.unwrap().status().as_u16()
    };
    assert_eq!(put(&address, "image/gif", image.clone()).await, 403);
    assert_eq!(put(&address, "image/png", image[1..].to_vec()).await, 403);
    let (other, query) = address.split_once("/upload?").unwrap();
    assert_eq!(put(&format!("{other}/source?{query}"), "image/png", image.clone()).await, 403);
    assert_eq!(put(other, "image/png", image.clone()).await, 403);
    assert_eq!(put(&address, "image/png", image.clone()).await, 200);
    assert_eq!(put(&address, "image/png", image.clone()).await, 412);
    let job =
        settled(&client, &serving.route(&format!("/jobs/{}", granted["job_id"].as_str().unwrap()))).await;
    assert_eq!(job["status"], "succeeded", "{job}");
}

/// Four clients submit jobs while the process is killed again and again; every job that was accepted ends. Returns how
/// many submissions got no answer, and how long after the last one the last job ended.
async fn killed(jobs: u8, kills: u32) -> (usize, Duration) {
    const CLIENTS: u8 = 4;
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(folder.path());
    let port = serving.base.rsplit(':').next().unwrap().to_owned();
    let base = serving.base.clone();
    let submitting: Vec<_> = (0..CLIENTS)
        .map(|first| {
            let route = format!("{base}/jobs?algorithms=thumbnail,poi_detection");
            tokio::spawn(async move {
                let client = client();
                let mut accepted = Vec::new();
                for shade in (first..jobs).step_by(CLIENTS.into()) {
                    let sent =
                        client.post(&route).header("content-type", "image/png").body(png(shade)).send();
                    match sent.await {
                        Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                            if let Ok(text) = answer.text().await {
                                let job: Value = serde_json::from_str(&text).unwrap();
                                accepted.push(job["job_id"].as_str().unwrap().to_owned());
                            }
                        }
                        // The process is being killed, or is not up again.
                        _ => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
                accepted
            })
        })
        .collect();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(u64::from(40 + 7 * kill % 30))).await;
        serving.kill();
        serving = Serving::start_on(&port, folder.path());
    }
    let mut accepted = Vec::new();
    for client in submitting {
        accepted.extend(client.await.unwrap());
    }
    let started = Instant::now();
    let client = client();
    for id in &accepted {
        let job = settled(&client, &format!("{base}/jobs/{id}")).await;
        assert_eq!(job["status"], "succeeded", "{job}");
        let thumbnail = client.get(format!("{base}/jobs/{id}/thumbnail")).send().await.unwrap();
        assert_eq!(thumbnail.status(), StatusCode::OK);
    }
    let unanswered = usize::from(jobs) - accepted.len();
    assert!(unanswered < usize::from(jobs) / 2, "{unanswered} of {jobs} got no answer");
    (unanswered, started.elapsed())
}

#[tokio::test]
async fn no_accepted_job_is_lost_when_the_process_is_killed() {
    killed(60, 4).await;
}

#[tokio::test]
#[ignore = "takes a minute; CI runs the short one"]
async fn no_accepted_job_of_200_is_lost_when_the_process_is_killed_20_times() {
    let (unanswered, took) = killed(200, 20).await;
    println!(
        "200 jobs, 20 kills: {unanswered} got no answer, of the others none is lost; the last ended after {took:?}"
    );
}

#[tokio::test]
async fn sigterm_lets_what_has_begun_finish_and_ends_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(folder.path());
    let client = client();
    // A request that is under way: its body is sent in two halves.
    let image = png(9);
    let mut connection = TcpStream::connect(serving.base.trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST /jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n",
        image.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&image[..20]).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    serving.terminate();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let late = client.get(serving.route("/health/live")).send().await;
    assert!(late.is_err(), "no new connection is taken");
    connection.write_all(&image[20..]).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(serving.ended().success());

    // A job that was accepted during the shutdown is done by the next process.
    let id = answer.split("\"job_id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let serving = Serving::start(folder.path());
    let job = settled(&client, &serving.route(&format!("/jobs/{id}"))).await;
    assert_eq!(job["status"], "succeeded", "{job}");
}

#[test]
fn a_client_that_falls_silent_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path());
    let address = serving.base.trim_start_matches("http://");
    let mut silent: Vec<TcpStream> = [
        "GET /health HTTP/1.1\r\nHost: loc",
        "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\nhalf",
    ]
    .map(|half| {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(half.as_bytes()).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection
    })
    .into();
    for connection in &mut silent {
        // The connection ends, with an answer or without one.
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
    }
}

/// The processes that this one has started and that have not ended.
fn children(parent: u32) -> Vec<u32> {
    let children = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let id: u32 = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let is_child = status.lines().any(|line| line == format!("PPid:\t{parent}"));
        let has_ended = status.lines().any(|line| line.starts_with("State:\tZ"));
        (is_child && !has_ended).then_some(id)
    });
    children.collect()
}

/// `examples/poison.rs` in place of `darkroom`, two images at a time.
#[tokio::test]
async fn an_image_that_kills_or_blocks_its_decoder_harms_no_other_job_and_ends_with_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_BIN_EXE_darkroom")).with_file_name("examples/poison");
    let arguments =
        ["serve", "--port", "0", "--data-dir", folder.path().to_str().unwrap(), "--jobs-at-once", "2"];
    let mut poison = program(&path, &arguments);
    let mut serving = Serving::of(poison.env("MAX_ATTEMPTS", "2").env("JOB_TIMEOUT_SECONDS", "2"));
    let client = client();
    let jobs = serving.route("/jobs");
    let submit = async |image: Vec<u8>| {
        let sent = client.post(&jobs).header("content-type", "image/png").body(image);
        let answer = sent.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        format!("{jobs}/{}", read(answer).await["job_id"].as_str().unwrap())
    };
    let poisons = [
        ("panic", "worker_crashed"),
        ("crash", "worker_crashed"),
        ("memory", "out_of_memory_or_timeout"),
        ("endless", "out_of_memory_or_timeout"),
    ];
    let (mut poisoned, mut healthy) = (Vec::new(), Vec::new());
    for (shade, (word, code)) in (0..).zip(poisons) {
        let image = [png(shade), format!("poison: {word}").into_bytes()].concat();
        poisoned.push((submit(image).await, code));
        for other in 0..6 {
            healthy.push(submit(png(100 + 6 * shade + other)).await);
        }
    }
    for job in &healthy {
        let job = settled(&client, job).await;
        assert_eq!((&job["status"], &job["attempts"]), (&json!("succeeded"), &json!(1)), "{job}");
    }
    for (job, code) in &poisoned {
        let job = settled(&client, job).await;
        assert_eq!((&job["error"]["code"], &job["attempts"]), (&json!(code), &json!(2)), "{job}");
    }
    assert!(serving.child.try_wait().unwrap().is_none(), "the service itself is as it was");

    // A process that is busy for ever does not outlive the service.
    submit([png(99), b"poison: endless".to_vec()].concat()).await;
    let started = Instant::now();
    let processor_time = |id: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let ticks = text.rsplit(')').next()?.split_whitespace().nth(11)?;
        ticks.parse::<u64>().ok()
    };
    let busy = loop {
        let busy = children(serving.child.id()).into_iter().find(|id| processor_time(id) > Some(50));
        assert!(started.elapsed() < PATIENCE, "nobody works");
        match busy {
            Some(id) => break id,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    serving.kill();
    while Path::new(&format!("/proc/{busy}")).exists() {
        assert!(started.elapsed() < PATIENCE, "it outlives the service");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_wrong_configuration_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path());
    let port = serving.base.rsplit(':').next().unwrap();
    let other = TempDir::new().unwrap();
    let other = other.path().to_str().unwrap();
    let file = folder.path().join("lock");
    let in_use =
        refused(&mut darkroom(&["serve", "--port", "0", "--data-dir", folder.path().to_str().unwrap()]));
    assert!(in_use.contains("in use by another darkroom"), "{in_use}");
    let taken = refused(&mut darkroom(&["serve", "--port", port, "--data-dir", other]));
    assert!(taken.contains("name another port in PORT"), "{taken}");
    let no_folder = refused(&mut darkroom(&["serve", "--port", "0", "--data-dir", file.to_str().unwrap()]));
    assert!(no_folder.contains("cannot be used"), "{no_folder}");
    for (name, value, named) in [
        ("MAX_PIXELS", "many", "MAX_PIXELS is not a whole number"),
        ("PUBLIC_URL", "localhost", "PUBLIC_URL is not an absolute URL"),
        ("ALLOWED_NETWORKS", "home", "ALLOWED_NETWORKS is not a list of networks"),
        ("PORT", "none", "--port"),
        ("STORE", "aws", "JOBS_TABLE is not set"),
    ] {
        let mut command = darkroom(&["serve", "--data-dir", other]);
        let said = refused(command.env("PORT", "0").env(name, value));
        assert!(said.contains(named), "{name}={value}: {said}");
    }
    let notify = refused(&mut darkroom(&["notify", "--port", "0"]));
    assert!(notify.contains("PUBLIC_URL is not set"), "{notify}");
}
