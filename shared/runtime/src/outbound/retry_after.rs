//! `Retry-After` ([RFC 9110, 10.2.3]): how long a server asks to be left alone, as seconds or as a date.
//!
//! [RFC 9110, 10.2.3]: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// How long an answer that came `now` asks to wait, in whole seconds, rounded up; a date that has passed asks for none.
/// `None` if it does not ask, or cannot be understood. The caller limits the wait.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number that is too large does not parse.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // Measured by the server's own clock if it tells its time, because ours may differ.
    let since = date_of(headers, DATE).unwrap_or(now);
    let wait = date.duration_since(since).unwrap_or_default();
    Some(Duration::from_secs(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))))
}

fn date_of(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    const NOW: u64 = 784_111_777;

    fn wait(retry_after: &str, date: Option<&str>, milliseconds: u64) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().expect("a value"));
        if let Some(date) = date {
            headers.insert(DATE, date.parse().expect("a value"));
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(NOW * 1_000 + milliseconds);
        super::retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_every_form_of_a_date_are_understood() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:49 GMT", Some(12)),
            ("Sunday, 06-Nov-94 08:49:49 GMT", Some(12)),
            ("Sun Nov  6 08:49:49 1994", Some(12)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("1994-11-06T08:49:49Z", None),
        ] {
            assert_eq!(wait(text, None, 0), seconds, "{text}");
        }
    }

    #[test]
    fn a_date_is_not_met_early_and_is_by_the_server_s_clock_where_that_is_known() {
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:49 GMT", None, 1), Some(12), "11.999 s");
        let date = Some("Sun, 06 Nov 1994 09:49:37 GMT");
        assert_eq!(wait("Sun, 06 Nov 1994 09:49:49 GMT", date, 0), Some(12), "its clock is an hour ahead");
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:49 GMT", Some("today"), 0), Some(12));
        assert_eq!(super::retry_after(&HeaderMap::new(), SystemTime::UNIX_EPOCH), None);
    }
}
