//! What a submission asks for beside its image, as JSON or as names and texts.

use std::collections::BTreeMap;

use http_api::{Problem, extract};
use jobs::{
    access::Caller,
    algorithm::{Parameters, Specification, THUMBNAIL},
    callback_headers::CallbackHeaders,
    error::Refusal,
    secret::Secret,
    submit::{self, Request},
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Headers of a callback, as OpenAPI describes them: names and values.
#[derive(ToSchema)]
#[schema(as = CallbackHeaders)]
#[expect(dead_code, reason = "describes what is read")]
pub(crate) struct HeadersSchema(BTreeMap<String, String>);

/// The options of a submission.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    /// What to run; nothing means the 100×100 thumbnail.
    #[serde(default)]
    pub(crate) algorithms: Vec<AlgorithmChoice>,
    /// Where to POST when the job ends.
    pub(crate) callback_url: Option<String>,
    /// `whsec_` and a key signs that POST; any other text is sent with it as a bearer token. Never shown again.
    #[schema(value_type = Option<String>)]
    pub(crate) callback_token: Option<Secret>,
    /// Headers of that POST, at most 5; the values are never shown again.
    #[schema(value_type = Option<HeadersSchema>)]
    pub(crate) callback_headers: Option<CallbackHeaders>,
    /// How long the job has to end, in seconds; a job that has not ended by then fails. A day, unless said otherwise.
    #[schema(minimum = 10, maximum = 86_400)]
    pub(crate) deadline: Option<u64>,
}

/// An algorithm to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "an algorithm is a name, or an object with `name` and `parameters`")]
pub(crate) enum AlgorithmChoice {
    /// With every default.
    Name(String),
    /// With some parameters.
    Detailed(DetailedChoice),
}

/// An algorithm to run, with some parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DetailedChoice {
    /// Its name.
    name: String,
    /// Those that differ from the defaults.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Parameters,
}

/// The option that has a callback's headers.
const HEADERS: &str = "callback_headers";

/// Options as names and texts, from a query or the parts of a form.
pub(crate) type Texts = Vec<(String, String)>;

impl Options {
    /// The request that these options and the texts beside them make.
    ///
    /// # Errors
    /// What is given in both ways, or by two names for one parameter.
    pub(crate) fn into_request(
        self,
        catalogue: &[&'static Specification],
        texts: Texts,
    ) -> Result<Request, Problem> {
        let bytes: usize = texts.iter().map(|(key, text)| key.len() + text.len()).sum();
        if bytes > extract::MAX_JSON {
            return Err(extract::too_large());
        }
        // What names the same algorithm twice, or one that there is not, is refused later; here only their number
        // counts.
        if self.algorithms.len() > catalogue.len() {
            let text = format!("A job runs each algorithm once; there are {}.", catalogue.len());
            return Err(Refusal::invalid("duplicate_algorithm", text).into());
        }
        let algorithms = self
            .algorithms
            .into_iter()
            .map(|choice| match choice {
                AlgorithmChoice::Name(name) => (name, Parameters::default()),
                AlgorithmChoice::Detailed(DetailedChoice { name, parameters }) => (name, parameters),
            })
            .collect();
        let mut request = Request {
            algorithms,
            callback_url: self.callback_url,
            callback_token: self.callback_token,
            callback_headers: self.callback_headers.unwrap_or_default(),
            deadline: self.deadline,
            idempotency_key: None,
            caller: Caller::Anyone,
        };
        add_texts(&mut request, catalogue, texts)?;
        Ok(request)
    }
}

/// Adds options given as names and texts: `algorithms` (names, separated by commas), `callback_url`,
/// `callback_token`, `deadline`, `callback_headers` (JSON) or each of these as `callback_headers.{name}`, and any
/// parameter as `{algorithm}.{parameter}`, those of the default algorithm by their name alone. A parameter asks for
/// its algorithm. Names and values are not checked here, but with those that came as JSON; only what was given before
/// is refused.
fn add_texts(
    request: &mut Request,
    catalogue: &[&'static Specification],
    mut texts: Texts,
) -> Result<(), Problem> {
    // Their order is lost on the way through API Gateway; one request shall always mean the same job.
    texts.sort_by_cached_key(|(key, _)| (key != "algorithms", key.clone()));
    for (key, text) in texts {
        match key.as_str() {
            "algorithms" => {
                for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                    parameters_of(request, submit::specification(catalogue, name)?);
                }
            }
            "callback_url" if request.callback_url.is_none() => request.callback_url = Some(text),
            "callback_token" if request.callback_token.is_none() => {
                request.callback_token = Some(Secret::new(text));
            }
            HEADERS if request.callback_headers.0.is_empty() => {
                request.callback_headers = headers_of(&text)?;
            }
            "deadline" if request.deadline.is_none() => request.deadline = Some(seconds_of(&text)?),
            "callback_url" | "callback_token" | "deadline" | HEADERS => {
                return Err(extract::given_twice(&key));
            }
            _ if key.starts_with(HEADERS) && key[HEADERS.len()..].starts_with('.') => {
                let name = key[HEADERS.len() + 1..].to_owned();
                request.callback_headers.0.push((name, Secret::new(text)));
            }
            _ => {
                let (algorithm, name) = key.split_once('.').unwrap_or((THUMBNAIL, key.as_str()));
                let algorithm = submit::specification(catalogue, algorithm)?;
                let parameter = algorithm.parameters.iter().find(|parameter| parameter.name == name);
                let value = parameter
                    .map_or_else(|| text.clone().into(), |parameter| parameter.kind.read_text(&text));
                if parameters_of(request, algorithm).0.insert(name.to_owned(), value).is_some() {
                    return Err(extract::given_twice(&format!("{}.{name}", algorithm.name)));
                }
            }
        }
    }
    Ok(())
}

/// Headers of a callback that came as one text.
fn headers_of(text: &str) -> Result<CallbackHeaders, Refusal> {
    serde_json::from_str(text).map_err(|_| {
        let text = "`callback_headers` must be a JSON object of names and texts; or give each of them as \
                    `callback_headers.NAME`.";
        Refusal::invalid("invalid_callback_headers", text)
    })
}

/// A deadline that came as a text.
fn seconds_of(text: &str) -> Result<u64, Refusal> {
    text.parse()
        .map_err(|_| Refusal::invalid("invalid_deadline", "`deadline` must be a whole number of seconds."))
}

/// The parameters asked for one algorithm, which is thereby asked for.
fn parameters_of<'a>(request: &'a mut Request, algorithm: &Specification) -> &'a mut Parameters {
    let index = request.algorithms.iter().position(|(name, _)| name == algorithm.name).unwrap_or_else(|| {
        request.algorithms.push((algorithm.name.to_owned(), Parameters::default()));
        request.algorithms.len() - 1
    });
    &mut request.algorithms[index].1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(texts: &[(&str, &str)]) -> Request {
        let mut request = Request::default();
        let texts = texts.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        add_texts(&mut request, &detection::catalogue(), texts).expect("each once");
        request
    }

    #[test]
    fn texts_name_algorithms_and_parameters() {
        let request = read(&[
            ("algorithms", "poi_detection, thumbnail"),
            ("width", "200"),
            ("thumbnail.fit", "contain"),
            ("poi_detection.sigma", "2.5"),
        ]);
        let asked: Vec<_> =
            request.algorithms.iter().map(|(name, parameters)| (name.as_str(), json!(parameters))).collect();
        assert_eq!(
            asked,
            [
                ("poi_detection", json!({"sigma": 2.5})),
                ("thumbnail", json!({"width": 200, "fit": "contain"}))
            ]
        );
    }

    #[test]
    fn every_kind_of_option_can_be_a_text() {
        let request = read(&[
            ("preset", "slack,discord"),
            ("background", "FF8800"),
            ("enlarge", "false"),
            ("gravity", "smart"),
        ]);
        let (name, parameters) = &request.algorithms[0];
        let thumbnail = detection::catalogue().into_iter().find(|known| known.name == name).expect("known");
        let resolved = thumbnail.resolve(parameters).expect("valid").parameters;
        for (name, value) in [
            ("preset", json!(["slack", "discord"])),
            ("background", json!("#ff8800")),
            ("enlarge", json!(false)),
            ("gravity", json!("smart")),
        ] {
            assert_eq!(resolved.0[name], value);
        }
    }

    #[test]
    fn the_order_of_texts_makes_no_difference() {
        let one = read(&[("width", "50"), ("algorithms", "poi_detection"), ("height", "9")]);
        let other = read(&[("height", "9"), ("width", "50"), ("algorithms", "poi_detection")]);
        assert_eq!(one.algorithms, other.algorithms);
        assert_eq!(one.algorithms[0].0, "poi_detection");
    }

    #[test]
    fn a_parameter_asks_for_its_algorithm() {
        assert_eq!(read(&[("width", "50")]).algorithms[0].0, "thumbnail");
        assert_eq!(read(&[("poi_detection.max_points", "5")]).algorithms[0].0, "poi_detection");
    }

    #[test]
    fn headers_of_a_callback_come_as_one_text_or_each_by_its_name() {
        let names = |request: &Request| -> Vec<_> {
            let headers = request.callback_headers.0.iter();
            headers.map(|(name, value)| format!("{name}: {}", value.expose())).collect()
        };
        let request =
            read(&[("callback_headers", r#"{"X-Key": "a", "X-B": "b"}"#), ("callback_headers.x.y", "c")]);
        assert_eq!(names(&request), ["X-Key: a", "X-B: b", "x.y: c"]);
        assert_eq!(
            names(&read(&[("callback_headers.Authorization", "Basic dTpw")])),
            ["Authorization: Basic dTpw"]
        );
        for text in ["hunter2", "[]", r#"{"a": 1}"#, ""] {
            let texts = vec![("callback_headers".to_owned(), text.to_owned())];
            let problem = add_texts(&mut Request::default(), &[], texts).expect_err(text);
            assert!(problem.detail().contains("JSON object") && !problem.detail().contains("hunter2"));
        }
        let json: Options =
            serde_json::from_value(json!({"callback_headers": {"X-Key": "hunter2"}})).expect("valid");
        assert!(!format!("{json:?}").contains("hunter2"));
        let texts = vec![("callback_headers".to_owned(), "{}".to_owned())];
        json.into_request(&detection::catalogue(), texts).expect_err("given twice");
    }

    #[test]
    fn a_deadline_is_a_number_however_it_is_given() {
        assert_eq!(read(&[("deadline", "60")]).deadline, Some(60));
        let json: Options = serde_json::from_value(json!({"deadline": 60})).expect("valid");
        assert_eq!(
            json.into_request(&detection::catalogue(), Texts::new()).expect("once").deadline,
            Some(60)
        );
        for text in ["", "soon", "-1", "1.5"] {
            let texts = vec![("deadline".to_owned(), text.to_owned())];
            add_texts(&mut Request::default(), &[], texts).expect_err(text);
        }
    }

    #[test]
    fn json_takes_names_and_details() {
        let options: Options = serde_json::from_value(json!({
            "algorithms": ["poi_detection", {"name": "thumbnail", "parameters": {"width": 7}}],
            "callback_token": "hunter2"
        }))
        .expect("valid");
        assert!(!format!("{options:?}").contains("hunter2"));
        let request = options.into_request(&detection::catalogue(), Texts::new()).expect("nothing twice");
        assert_eq!(request.algorithms[0], ("poi_detection".to_owned(), Parameters::default()));
        assert_eq!(json!(request.algorithms[1].1), json!({"width": 7}));
        for choice in [json!(3), json!({"name": "thumbnail", "params": {"width": 7}})] {
            let options = json!({"algorithms": [choice]});
            let error = serde_json::from_value::<Options>(options).expect_err("not a choice");
            assert!(error.to_string().starts_with("an algorithm is a name"), "{error}");
        }
    }
}
