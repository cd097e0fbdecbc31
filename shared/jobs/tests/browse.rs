//! The promises of lists: pages join without gap or overlap, and end.
#![allow(clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use jobs::{
    access::Caller,
    browse::{Browser, Cursor},
    id::JobId,
    ports::WriteJobs as _,
};
use testing::{
    build,
    memory::{ManualClock, MemoryJobs},
};
use time::OffsetDateTime;

fn browser_of(jobs: MemoryJobs) -> Browser {
    Browser { jobs: Arc::new(jobs.clone()), lists: Arc::new(jobs), clock: Arc::new(ManualClock::default()) }
}

/// A browser over `count` jobs, of which every third has a thumbnail; and the ids of those, newest first.
async fn browser(count: u64) -> (Browser, Vec<JobId>) {
    let jobs = MemoryJobs::default();
    let mut with_thumbnail = Vec::new();
    for index in 0..count {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + index);
        let mut job = if index % 3 == 0 { build::succeeded(now) } else { build::queued(now) };
        if index % 3 == 0 {
            with_thumbnail.insert(0, job.id());
        }
        jobs.write(&mut job).await.expect("written");
    }
    (browser_of(jobs), with_thumbnail)
}

#[tokio::test]
async fn pages_join_and_the_last_one_says_so() {
    let (browser, _) = browser(10).await;
    for limit in [1, 3, 5, 10, 11] {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = browser.page(&Caller::Anyone, None, cursor, limit).await.expect("a page");
            found.extend(page.items.iter().map(jobs::job::Job::id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
            assert_eq!(page.items.len(), limit, "only the last page is short");
        }
        assert_eq!(found.len(), 10);
        assert!(found.is_sorted_by(|newer, older| newer > older));
    }
}

#[tokio::test]
async fn pages_of_results_join_whatever_lies_between() {
    let (browser, expected) = browser(400).await;
    for limit in [1, 7, 100] {
        let found: Vec<_> = results(&browser, limit).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(found, expected, "by {limit}");
    }
    let none = browser.page_of_results(&Caller::Anyone, "nothing", None, 5).await.expect("a page");
    assert!(none.items.is_empty() && none.next_cursor.is_none());
}

/// Every thumbnail of every page: its job, and its place among that job's.
async fn results(browser: &Browser, limit: usize) -> Vec<(JobId, usize)> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page =
            browser.page_of_results(&Caller::Anyone, "thumbnail", cursor, limit).await.expect("a page");
        assert!(page.items.len() <= limit);
        found.extend(page.items.iter().map(|(job, form)| (job.id(), *form)));
        // A client gives it back as text.
        cursor = page.next_cursor.map(|cursor| Cursor::decode(&cursor.encode()).expect("a cursor"));
        if cursor.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn a_page_may_end_between_two_results_of_one_job() {
    let jobs = MemoryJobs::default();
    let mut expected = Vec::new();
    for (second, count) in [3, 1, 0, 2, 3, 3].into_iter().enumerate() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second as u64);
        let mut job =
            build::succeeded_with_thumbnails(now, &["slack.gif", "discord.gif", "teams.gif"][..count]);
        expected.splice(0..0, (0..count).map(|form| (job.id(), form)));
        jobs.write(&mut job).await.expect("written");
    }
    let browser = browser_of(jobs);
    for limit in 1..=13 {
        assert_eq!(results(&browser, limit).await, expected, "by {limit}");
    }
}

#[test]
fn a_cursor_is_text_and_other_text_is_refused() {
    // The last one is a job's id, then `/x`.
    for text in ["", "x", "!!!", "MDE5OTBjMmY", "MDE5OTBjMmYtN2MxZS03ZDNiLThhNTEtM2YyZjZmMWQyYWE3L3g"] {
        assert_eq!(Cursor::decode(text).expect_err(text).code, "invalid_cursor");
    }
}
