//! Every change of a job, legal or not.

use super::*;
use crate::secret::Secret;

const LEASE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(300);
const TERMS: Terms = Terms {
    retention: Duration::from_secs(30 * 24 * 3_600),
    deadline: Duration::from_secs(24 * 3_600),
    patience: PATIENCE,
};

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn draft() -> Draft {
    Draft {
        origin: Origin::Upload,
        facts: Facts::default(),
        algorithms: Vec::new(),
        callback: Some(Callback::new(Url::parse("https://example.com/").expect("a URL"), None)),
        owner: None,
    }
}

fn failure() -> Failure {
    Failure::new("corrupt_image", "The image is damaged.")
}

fn counts() -> Attempt {
    let failure = Failure::new("source_unavailable", "The server of `image_url` answered 503.");
    Attempt::Counts(Retry { failure, at: now() + Duration::from_secs(10) })
}

/// A job in the given status; in `processing`, with the claim that holds it.
fn job_in(status: Status) -> (Job, Claim) {
    let foreign = Claim(Uuid::nil());
    let mut job = Job::queued(JobId::new(now()), draft(), now(), TERMS);
    match status {
        Status::AwaitingUpload => (Job::awaiting_upload(JobId::new(now()), draft(), now(), TERMS), foreign),
        Status::Queued => (job, foreign),
        Status::Processing => {
            let claim = job.claim(now(), LEASE).expect("free");
            (job, claim)
        }
        Status::Succeeded => {
            let claim = job.claim(now(), LEASE).expect("free");
            job.succeed(claim, Facts::default(), BTreeMap::new(), now()).expect("held");
            (job, claim)
        }
        Status::Failed => {
            let claim = job.claim(now(), LEASE).expect("free");
            job.fail(claim, Facts::default(), failure(), now()).expect("held");
            (job, claim)
        }
    }
}

/// Every pair of a status and a change: where it leads, or why it is illegal.
#[test]
fn every_change_from_every_status_is_legal_or_refused_as_documented() {
    use IllegalChange::{ClaimLost, Ended, NoCallback};
    use Status::{AwaitingUpload, Failed, Processing, Queued, Succeeded};
    let leased = IllegalChange::Leased { until: now() + LEASE };
    type Change = fn(&mut Job, Claim) -> Result<(), IllegalChange>;
    type FromEach = [Result<Status, IllegalChange>; 5];
    let changes: [(&str, Change, FromEach); 9] = [
        (
            "claim",
            |job, _| job.claim(now(), LEASE).map(drop),
            [Ok(Processing), Ok(Processing), Err(leased.clone()), Err(Ended), Err(Ended)],
        ),
        (
            "release",
            |job, claim| job.release(claim, counts(), now(), PATIENCE),
            [Err(ClaimLost), Err(ClaimLost), Ok(Queued), Err(Ended), Err(Ended)],
        ),
        (
            "succeed",
            |job, claim| job.succeed(claim, Facts::default(), BTreeMap::new(), now()),
            [Err(ClaimLost), Err(ClaimLost), Ok(Succeeded), Err(Ended), Err(Ended)],
        ),
        (
            "fail",
            |job, claim| job.fail(claim, Facts::default(), failure(), now()),
            [Err(ClaimLost), Err(ClaimLost), Ok(Failed), Err(Ended), Err(Ended)],
        ),
        (
            "give_up",
            |job, _| job.give_up(failure(), now()),
            [Ok(Failed), Ok(Failed), Err(leased.clone()), Err(Ended), Err(Ended)],
        ),
        (
            "requeue",
            |job, _| job.requeue(now(), PATIENCE),
            [Ok(Queued), Ok(Queued), Err(leased.clone()), Err(Ended), Err(Ended)],
        ),
        (
            "delete",
            |job, _| {
                job.delete(now(), now());
                Ok(())
            },
            [Ok(Failed), Ok(Failed), Ok(Failed), Ok(Succeeded), Ok(Failed)],
        ),
        (
            "redeliver_callback",
            |job, _| job.redeliver_callback(now(), PATIENCE),
            [Err(NoCallback), Err(NoCallback), Err(NoCallback), Ok(Succeeded), Ok(Failed)],
        ),
        (
            "end_lease",
            |job, _| job.end_lease(now()),
            [Err(ClaimLost), Err(ClaimLost), Ok(Queued), Err(Ended), Err(Ended)],
        ),
    ];
    for (name, change, expected) in changes {
        for (from, expected) in
            [AwaitingUpload, Queued, Processing, Succeeded, Failed].into_iter().zip(expected)
        {
            let (mut job, claim) = job_in(from);
            let before = job.clone();
            let outcome = change(&mut job, claim).map(|()| job.status());
            assert_eq!(outcome, expected, "{name} from {from}");
            if outcome.is_err() {
                assert_eq!(job, before, "a refused {name} from {from} changes nothing");
            }
        }
    }
}

#[test]
fn a_lease_that_has_ended_can_be_claimed_and_the_first_worker_has_lost_it() {
    let (mut job, first) = job_in(Status::Processing);
    let later = now() + LEASE;
    let second = job.claim(later, LEASE).expect("the lease has ended");
    assert_eq!(job.attempts(), 2);
    assert_eq!(job.started_at(), Some(now()), "the first start stays");
    assert_eq!(job.succeed(first, Facts::default(), BTreeMap::new(), later), Err(IllegalChange::ClaimLost));
    job.succeed(second, Facts::default(), BTreeMap::new(), later).expect("held");
    assert_eq!((job.status(), job.finished_at()), (Status::Succeeded, Some(later)));
}

#[test]
fn a_released_job_can_be_claimed_at_once_and_an_attempt_that_was_not_its_fault_is_forgiven() {
    for (attempt, attempts) in [(counts(), 2), (Attempt::Forgiven(now()), 1), (Attempt::Interrupted, 1)] {
        let (mut job, claim) = job_in(Status::Processing);
        job.release(claim, attempt, now(), PATIENCE).expect("held");
        job.claim(now(), LEASE).expect("free again");
        assert_eq!(job.attempts(), attempts);
    }
}

#[test]
fn a_job_says_why_and_when_it_is_tried_again_only_while_it_waits_for_that() {
    let (mut job, claim) = job_in(Status::Processing);
    job.release(claim, counts(), now(), PATIENCE).expect("held");
    let retry = job.retry().expect("it waits");
    assert_eq!((&*retry.failure.code, retry.at), ("source_unavailable", now() + Duration::from_secs(10)));
    assert_eq!((job.status(), job.error()), (Status::Queued, None), "it has not failed");
    let mut given_up = job.clone();
    given_up.give_up(failure(), now()).expect("free");
    assert_eq!(given_up.retry(), None);
    let claim = job.claim(now(), LEASE).expect("free");
    assert_eq!(job.retry(), None, "it is being tried");
    job.release(claim, Attempt::Forgiven(now()), now(), PATIENCE).expect("held");
    assert_eq!(job.retry(), None);
}

fn outcome(state: CallbackState, status: u16, next_try_at: Option<OffsetDateTime>) -> Outcome {
    Outcome { state, status: Some(status), milliseconds: 12, next_try_at }
}

#[test]
fn a_callback_is_owed_from_the_end_of_the_job_until_it_is_settled() {
    let (mut job, claim) = job_in(Status::Processing);
    assert!(!job.owes_callback());
    let later = now() + PATIENCE;
    assert_eq!(job.begin_callback_try(now(), later, PATIENCE), Err(IllegalChange::NoCallback));
    job.fail(claim, Facts::default(), failure(), now()).expect("held");
    assert!(job.owes_callback());
    let first = job.begin_callback_try(now(), later, PATIENCE).expect("owed");
    let early = Err(IllegalChange::TooEarly { until: later });
    assert_eq!(job.begin_callback_try(now(), later, PATIENCE), early, "one try at a time");
    let refused = outcome(CallbackState::Pending, 503, Some(now()));
    job.end_callback_try(first, refused, now(), PATIENCE).expect("there is one");
    assert!(job.owes_callback());
    let second = job.begin_callback_try(now(), later, PATIENCE).expect("due");
    let delivered = outcome(CallbackState::Delivered, 204, None);
    job.end_callback_try(second, delivered, now(), PATIENCE).expect("there is one");
    assert!(!job.owes_callback());
    assert_eq!(job.due(), None, "nothing is owed any more");
    job.end_callback_try(second, refused, now(), PATIENCE).expect("there is one");
    let callback = job.callback().expect("there is one");
    assert_eq!((callback.state, callback.attempts), (CallbackState::Delivered, 2), "delivered stays so");
    let statuses: Vec<_> = callback.tries.iter().map(|noted| noted.status).collect();
    assert_eq!(statuses[0], Some(503));
    job.redeliver_callback(now(), PATIENCE).expect("ended");
    assert!(job.owes_callback());
    let callback = job.callback().expect("there is one");
    assert_eq!((callback.tried(), callback.attempts, callback.tries.len()), (0, 2, 2));
    job.abandon_callback(now()).expect("owed");
    assert_eq!(job.callback().map(|callback| callback.state), Some(CallbackState::Failed));
}

#[test]
fn a_try_whose_outcome_was_never_written_counts_and_the_next_one_waits_as_after_a_failure() {
    let (mut job, claim) = job_in(Status::Processing);
    job.fail(claim, Facts::default(), failure(), now()).expect("held");
    let later = now() + PATIENCE;
    let lost = job.begin_callback_try(now(), later, PATIENCE).expect("owed");
    assert_eq!(job.due(), Some(later + PATIENCE));
    let next = job.begin_callback_try(later, later + PATIENCE, PATIENCE).expect("due");
    let callback = job.callback().expect("there is one");
    assert_eq!((callback.tried(), callback.tries[0].status, callback.tries[0].milliseconds), (2, None, None));
    // The first one's process was slow, not dead.
    let refused = outcome(CallbackState::Pending, 500, Some(now()));
    job.end_callback_try(lost, refused, later, PATIENCE).expect("there is one");
    let callback = job.callback().expect("there is one");
    assert_eq!(callback.tries[0].status, Some(500));
    assert_eq!(callback.next_try_at, Some(later + PATIENCE), "the later try says when the next one is due");
    job.end_callback_try(next, outcome(CallbackState::Delivered, 200, None), later, PATIENCE).expect("noted");
    assert_eq!(job.callback().expect("there is one").tries[1].status, Some(200));
}

/// Leftovers are removed after the end only: before, they would make a job due for which nothing can be done yet.
#[test]
fn leftovers_of_attempts_make_a_job_due_once_it_has_ended() {
    let (mut job, claim) = job_in(Status::Processing);
    job.release(claim, counts(), now(), PATIENCE).expect("held");
    let claim = job.claim(now(), LEASE).expect("free");
    assert_eq!(job.tidy_at(), Some(now() + LEASE + LATE_WRITES));
    job.release(claim, Attempt::Interrupted, now(), PATIENCE).expect("held");
    assert_eq!(job.due(), Some(now() + PATIENCE), "a message must have come");
    job.give_up(failure(), now()).expect("free");
    job.abandon_callback(now()).expect("owed");
    assert_eq!(job.due(), Some(now() + LEASE + LATE_WRITES), "the leftovers must be removed");
}

/// A store takes a row that equals the one to be written for an earlier try of the same write. So two processes that
/// begin a try within the same millisecond must not write equal rows, or both would make it.
#[test]
fn two_tries_that_begin_at_the_same_moment_are_two_rows() {
    let (mut job, claim) = job_in(Status::Processing);
    job.fail(claim, Facts::default(), failure(), now()).expect("held");
    let mut other = job.clone();
    for job in [&mut job, &mut other] {
        job.begin_callback_try(now(), now() + PATIENCE, PATIENCE).expect("owed");
    }
    assert_ne!(job, other);
}

#[test]
fn a_callback_remembers_its_last_tries_only() {
    let (mut job, claim) = job_in(Status::Processing);
    job.fail(claim, Facts::default(), failure(), now()).expect("held");
    for number in 0..50_u64 {
        let at = now() + Duration::from_secs(number);
        let begun = job.begin_callback_try(at, at, PATIENCE).expect("due");
        job.end_callback_try(begun, outcome(CallbackState::Pending, 500, Some(at)), at, PATIENCE)
            .expect("noted");
    }
    let callback = job.callback().expect("there is one");
    assert_eq!((callback.attempts, callback.tries.len()), (50, 20));
    assert!(callback.tries.iter().all(|noted| noted.status == Some(500)));
    assert_eq!(callback.tries.last().map(|noted| noted.at), Some(now() + Duration::from_secs(49)));
}

/// When a job is due after each change.
#[test]
fn a_row_says_by_when_something_must_have_happened() {
    let (mut job, _) = job_in(Status::Queued);
    assert_eq!(job.due(), Some(now() + PATIENCE), "its message must have come");
    let (waiting, _) = job_in(Status::AwaitingUpload);
    assert_eq!(waiting.due(), Some(now() + PATIENCE), "its upload must have come");
    let claim = job.claim(now(), LEASE).expect("free");
    assert_eq!(job.due(), Some(now() + LEASE), "its worker must have ended it");
    job.release(claim, counts(), now(), PATIENCE).expect("held");
    let due = now() + Duration::from_secs(10) + PATIENCE;
    assert_eq!(job.due(), Some(due), "the message of its next attempt must have come");
    job.requeue(due, PATIENCE).expect("free");
    assert_eq!((job.due(), job.requeued()), (Some(due + PATIENCE), 1));
    let claim = job.claim(due, LEASE).expect("free");
    assert_eq!(job.requeued(), 0);
    job.succeed(claim, Facts::default(), BTreeMap::new(), due).expect("held");
    assert_eq!(job.due(), Some(due + TIME_TO_ANNOUNCE), "its owner must have been told");
    job.abandon_callback(due).expect("owed");
    assert_eq!(job.due(), Some(due + LEASE + LATE_WRITES), "its leftovers must be removed");
    job.tidied(due);
    assert_eq!(job.due(), None);
    job.delete(due, due + PATIENCE);
    assert_eq!(job.due(), Some(due + PATIENCE), "the row must be removed");
}

#[test]
fn a_job_wakes_at_its_deadline_at_the_latest_unless_a_worker_holds_it() {
    let (mut job, _) = job_in(Status::Queued);
    let late = now() + TERMS.deadline - Duration::from_secs(1);
    job.requeue(late, PATIENCE).expect("free");
    assert_eq!(job.due(), job.deadline());
    job.claim(late, LEASE).expect("free");
    assert_eq!(job.due(), Some(late + LEASE));
}

#[test]
fn a_deleted_job_has_no_secret_and_no_result_left_and_nobody_can_move_it() {
    for status in Status::ALL {
        let (mut job, claim) = job_in(status);
        job.delete(now(), now() + PATIENCE);
        assert!(job.is_deleted() && job.callback().is_none() && job.results().is_empty());
        assert_eq!(job.claim(now() + LEASE, LEASE).map(drop), Err(IllegalChange::Ended));
        let results = job.succeed(claim, Facts::default(), BTreeMap::new(), now());
        assert_eq!(results, Err(IllegalChange::Ended));
        assert_eq!(job.redeliver_callback(now(), PATIENCE), Err(IllegalChange::NoCallback));
    }
}

/// Rows as released versions wrote them: 1 is the first form, 2 has several thumbnails, 3 says why a job is tried again
/// and has callback headers, 4 says what is owed and when. One is added when the form changes; none is ever changed.
#[test]
fn every_row_ever_written_still_parses() {
    for (row, status) in [
        (include_str!("../../tests/fixtures/job_row_1.json"), Status::Succeeded),
        (include_str!("../../tests/fixtures/job_row_2.json"), Status::Succeeded),
        (include_str!("../../tests/fixtures/job_row_3.json"), Status::Queued),
        (include_str!("../../tests/fixtures/job_row_4.json"), Status::Succeeded),
    ] {
        let job: Job = serde_json::from_str(row).expect("an old row");
        assert_eq!(job.status(), status);
        assert_eq!(
            serde_json::to_value(&job).expect("serialises"),
            serde_json::from_str::<Value>(row).expect("JSON")
        );
    }
}

/// An older release writes a row without the fields that it does not know. The results must be found all the same.
#[test]
fn results_are_found_after_an_older_release_has_written_the_row() {
    let mut row: Value =
        serde_json::from_str(include_str!("../../tests/fixtures/job_row_4.json")).expect("JSON");
    let members = row.as_object_mut().expect("an object");
    for added in ["deadline", "wake_at", "requeued", "forgiven", "tidy_at", "deleted"] {
        members.remove(added);
    }
    let job: Job = serde_json::from_value(row).expect("a row");
    assert_eq!(job.results()["thumbnail"].attempt(), Some(4));
    assert!(!job.results()["thumbnail"].shown().contains_key("attempt"), "it is not shown");
}

#[test]
fn a_callback_that_is_sent_anew_while_a_try_is_made_is_not_settled_by_that_one() {
    let (mut job, claim) = job_in(Status::Processing);
    job.fail(claim, Facts::default(), failure(), now()).expect("held");
    let before = job.begin_callback_try(now(), now() + PATIENCE, PATIENCE).expect("owed");
    job.redeliver_callback(now(), PATIENCE).expect("ended");
    job.end_callback_try(before, outcome(CallbackState::Failed, 410, None), now(), PATIENCE).expect("noted");
    assert!(job.owes_callback());
    assert_eq!(job.callback().expect("there is one").next_try_at, None);
    let after = job.begin_callback_try(now(), now() + PATIENCE, PATIENCE).expect("owed");
    job.abandon_callback(now()).expect("owed");
    job.end_callback_try(after, outcome(CallbackState::Delivered, 200, None), now(), PATIENCE)
        .expect("noted");
    assert_eq!(job.callback().map(|callback| callback.state), Some(CallbackState::Delivered));
}

#[test]
fn debug_shows_no_token() {
    let token = Some(Secret::new("hunter2".to_owned()));
    let headers = BTreeMap::from([("x-api-key".to_owned(), Secret::new("hunter2".to_owned()))]);
    let url = Url::parse("https://example.com/").expect("a URL");
    let callback = Callback { headers, ..Callback::new(url, token) };
    let draft = Draft { callback: Some(callback), ..draft() };
    let job = Job::queued(JobId::new(now()), draft, now(), TERMS);
    assert!(!format!("{job:?}").contains("hunter2"));
}
