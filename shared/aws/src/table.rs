//! Jobs in DynamoDB.
//!
//! A row has the job as JSON in the attribute `job`, so that it comes back exactly as it was written. What is secret in
//! it, the callback's token and the values of its headers, is in the attribute `secrets`, which is in no index. Beside
//! them is what keys, indexes, conditions and expiry need: `pk`, `id`, `list_shard`, `status_shard`, `due_shard`,
//! `due`, `revision` and `expires`. The indexes of lists sort by the job's id, which is the order of creation; so a
//! page's cursor is an id, whichever index and shard it is read from. Only jobs that are due at some time have `due`
//! and are in its index; deleted jobs are in no list.
//!
//! Where the service asks for keys, a job has an owner, and its row `owner_list` and `owner_status` as well, which are
//! in indexes of their own.
//!
//! A request's key has a row of its own, `pk` = `ONCE#{hash}`, which is in no index. `accounts.rs` says how
//! keys of callers, and what is used, are kept.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    config::http::HttpResponse,
    error::{BuildError, SdkError},
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};
use jobs::{
    access::Owner,
    error::{Chain, PortError, WriteError},
    id::{JobId, SHARDS},
    job::{Job, Status},
    once::{Earlier, RequestKey},
    ports::{DueJob, DueQuery, ListDue, ListJobs, ListQuery, Probe, ReadJobs, WriteJobs, WriteOnce},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::error::{broken, port_error};

/// The jobs table.
#[derive(Clone, Debug)]
pub struct JobsTable {
    pub(crate) client: Client,
    pub(crate) name: String,
}

pub(crate) type Row = HashMap<String, AttributeValue>;

fn row_of(job: &Job) -> Result<Row, serde_json::Error> {
    let shard = job.id().shard();
    let (text, number) = (AttributeValue::S, AttributeValue::N);
    let mut json = serde_json::to_value(job)?;
    let secrets = Secrets::take(&mut json);
    let mut row = Row::from([
        ("pk".to_owned(), text(primary_key(job.id()))),
        ("id".to_owned(), text(job.id().to_string())),
        ("revision".to_owned(), number(job.revision().to_string())),
        // Unix seconds, for DynamoDB's expiry.
        ("expires".to_owned(), number(job.expires_at().unix_timestamp().to_string())),
        ("job".to_owned(), text(json.to_string())),
    ]);
    if !secrets.is_empty() {
        row.insert("secrets".to_owned(), text(serde_json::to_string(&secrets)?));
    }
    if !job.is_deleted() {
        row.insert("list_shard".to_owned(), text(list_shard(shard)));
        row.insert("status_shard".to_owned(), text(status_shard(job.status(), shard)));
        if let Some(owner) = job.owner() {
            row.insert("owner_list".to_owned(), text(owner_list(owner)));
            row.insert("owner_status".to_owned(), text(owner_status(owner, job.status())));
        }
    }
    if let Some(due) = job.due() {
        row.insert("due_shard".to_owned(), text(due_shard(shard)));
        row.insert("due".to_owned(), number(milliseconds(due).to_string()));
    }
    Ok(row)
}

/// A time in milliseconds since 1970, by which the index of due jobs sorts.
fn milliseconds(time: OffsetDateTime) -> i128 {
    time.unix_timestamp_nanos() / 1_000_000
}

fn from_milliseconds(number: &str) -> Option<OffsetDateTime> {
    let nanoseconds = number.parse::<i128>().ok()?.checked_mul(1_000_000)?;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()
}

fn due_of(row: &Row) -> Option<DueJob> {
    let id = row.get("pk")?.as_s().ok()?.strip_prefix("JOB#")?.parse().ok()?;
    let due = from_milliseconds(row.get("due")?.as_n().ok()?)?;
    Some(DueJob { id, due })
}

fn due_shard(shard: u8) -> String {
    format!("DUE#{shard}")
}

fn once_key(key: &RequestKey) -> String {
    format!("ONCE#{}", key.key())
}

fn earlier_of(row: &Row) -> Option<Earlier> {
    let text = |name: &str| row.get(name)?.as_s().ok().cloned();
    Some(Earlier { job: text("job_id")?.parse().ok()?, request: text("request")? })
}

fn job_of(row: &Row, operation: &'static str) -> Result<Job, PortError> {
    let text = row.get("job").and_then(|job| job.as_s().ok());
    let text = text.ok_or_else(|| broken(operation, "the row has no job"))?;
    let mut job = serde_json::from_str(text).map_err(|error| broken(operation, error))?;
    // Rows of older releases have their secrets within the job.
    if let Some(secrets) = row.get("secrets").and_then(|secrets| secrets.as_s().ok()) {
        let secrets: Secrets = serde_json::from_str(secrets).map_err(|error| broken(operation, error))?;
        secrets.put_back(&mut job);
    }
    serde_json::from_value(job).map_err(|error| broken(operation, error))
}

/// What is secret in a job.
#[derive(Default, Deserialize, Serialize)]
struct Secrets {
    token: Value,
    /// The values of headers by their names.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    headers: Map<String, Value>,
}

impl Secrets {
    /// Takes the secrets out of a job's JSON. The names of headers stay, because lists show them.
    fn take(job: &mut Value) -> Self {
        let Some(callback) = job.get_mut("callback").and_then(Value::as_object_mut) else {
            return Self::default();
        };
        let token = callback.get_mut("token").map(Value::take).unwrap_or_default();
        let headers = callback.get_mut("headers").and_then(Value::as_object_mut);
        let headers = headers.into_iter().flatten();
        let headers = headers.map(|(name, value)| (name.clone(), std::mem::replace(value, Value::from(""))));
        Self { token, headers: headers.collect() }
    }

    fn put_back(self, job: &mut Value) {
        let Some(callback) = job.get_mut("callback").and_then(Value::as_object_mut) else { return };
        callback.insert("token".to_owned(), self.token);
        if !self.headers.is_empty() {
            callback.insert("headers".to_owned(), Value::Object(self.headers));
        }
    }

    fn is_empty(&self) -> bool {
        self.token.is_null() && self.headers.is_empty()
    }
}

fn primary_key(id: JobId) -> String {
    format!("JOB#{id}")
}

fn list_shard(shard: u8) -> String {
    format!("LIST#{shard}")
}

fn status_shard(status: Status, shard: u8) -> String {
    format!("{status}#{shard}")
}

fn owner_list(owner: &Owner) -> String {
    format!("JOBS#{owner}")
}

pub(crate) fn owner_status(owner: &Owner, status: Status) -> String {
    format!("{owner}#{status}")
}

/// A part of an index that a list is read from.
#[derive(Clone, Debug)]
struct Partition {
    index: &'static str,
    attribute: &'static str,
    value: String,
}

impl Partition {
    /// The partitions that hold what a query asks for. Jobs of everybody are in several; those of one owner, who has
    /// only so many, in one.
    fn of(query: &ListQuery) -> Vec<Self> {
        let one = |index, attribute, value| vec![Self { index, attribute, value }];
        match (&query.owner, query.status) {
            (Some(owner), None) => one("by_owner", "owner_list", owner_list(owner)),
            (Some(owner), Some(status)) => {
                one("by_owner_status", "owner_status", owner_status(owner, status))
            }
            (None, None) => {
                (0..SHARDS).flat_map(|shard| one("by_created", "list_shard", list_shard(shard))).collect()
            }
            (None, Some(status)) => (0..SHARDS)
                .flat_map(|shard| one("by_status", "status_shard", status_shard(status, shard)))
                .collect(),
        }
    }
}

impl JobsTable {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The row of that key. If it is not read consistently, it may be an older one for a moment, and costs half.
    pub(crate) async fn row(
        &self,
        operation: &'static str,
        pk: String,
        consistent: bool,
    ) -> Result<Option<Row>, PortError> {
        let get = self.client.get_item().table_name(&self.name).key("pk", AttributeValue::S(pk));
        let output = get.consistent_read(consistent).send().await.map_err(port_error(operation))?;
        Ok(output.item)
    }

    /// Removes the row of that key, if there is one.
    pub(crate) async fn remove_row(&self, operation: &'static str, pk: String) -> Result<(), PortError> {
        let delete = self.client.delete_item().table_name(&self.name).key("pk", AttributeValue::S(pk));
        delete.send().await.map_err(port_error(operation))?;
        Ok(())
    }

    /// The newest of one partition's jobs.
    async fn list_partition(
        &self,
        before: Option<JobId>,
        limit: usize,
        partition: Partition,
    ) -> Result<Vec<Job>, PortError> {
        const OPERATION: &str = "listing jobs";
        let Partition { index, attribute, value } = partition;
        let mut jobs = Vec::new();
        let mut from = None;
        // DynamoDB ends a page at 1 MB, so a partition may take several.
        loop {
            let missing = i32::try_from(limit - jobs.len()).unwrap_or(i32::MAX);
            let request = self
                .client
                .query()
                .table_name(&self.name)
                .index_name(index)
                .expression_attribute_names("#p", attribute)
                .expression_attribute_values(":p", AttributeValue::S(value.clone()))
                .scan_index_forward(false)
                .limit(missing)
                .set_exclusive_start_key(from);
            let request = match before {
                None => request.key_condition_expression("#p = :p"),
                Some(before) => request
                    .key_condition_expression("#p = :p AND id < :before")
                    .expression_attribute_values(":before", AttributeValue::S(before.to_string())),
            };
            let page = request.send().await.map_err(port_error(OPERATION))?;
            for row in page.items.unwrap_or_default() {
                // One row that cannot be read (a newer release's, perhaps) must not take every list with it.
                match job_of(&row, OPERATION) {
                    Ok(job) => jobs.push(job),
                    Err(error) => {
                        tracing::error!(row = ?row.get("pk"), error = %Chain(&error), "left out of a list");
                    }
                }
            }
            from = page.last_evaluated_key;
            if from.is_none() || jobs.len() >= limit {
                return Ok(jobs);
            }
        }
    }
}

#[async_trait]
impl ReadJobs for JobsTable {
    async fn get(&self, id: JobId) -> Result<Option<Job>, PortError> {
        const OPERATION: &str = "reading a job";
        let row = self.row(OPERATION, primary_key(id), true).await?;
        row.map(|row| job_of(&row, OPERATION)).transpose()
    }
}

#[async_trait]
impl ListJobs for JobsTable {
    async fn list(&self, query: ListQuery) -> Result<Vec<Job>, PortError> {
        let mut partitions = JoinSet::new();
        let ListQuery { before, limit, .. } = query;
        for partition in Partition::of(&query) {
            let table = self.clone();
            partitions.spawn(async move { table.list_partition(before, limit, partition).await });
        }
        let mut jobs = Vec::new();
        while let Some(partition) = partitions.join_next().await {
            jobs.extend(partition.map_err(|error| broken("listing jobs", error))??);
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id()));
        jobs.truncate(limit);
        Ok(jobs)
    }
}

#[async_trait]
impl WriteJobs for JobsTable {
    async fn write(&self, job: &mut Job) -> Result<(), WriteError> {
        const OPERATION: &str = "writing a job";
        let read = job.revision();
        let mut written = job.clone();
        written.written();
        let row = row_of(&written).map_err(|error| broken(OPERATION, error))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(row.clone()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = if read == 0 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("revision = :read")
                .expression_attribute_values(":read", AttributeValue::N(read.to_string()))
        };
        match put.send().await {
            Ok(_) => {
                *job = written;
                Ok(())
            }
            Err(error) => match error.as_service_error() {
                // The SDK tries again when an answer is lost, so the row that is in the way may be the one of our own
                // first try.
                Some(PutItemError::ConditionalCheckFailedException(failed))
                    if failed.item() == Some(&row) =>
                {
                    *job = written;
                    Ok(())
                }
                Some(PutItemError::ConditionalCheckFailedException(_)) => Err(WriteError::Conflict),
                _ => Err(port_error(OPERATION)(error).into()),
            },
        }
    }

    async fn delete(&self, id: JobId) -> Result<(), PortError> {
        self.remove_row("deleting a job", primary_key(id)).await
    }
}

#[async_trait]
impl ListDue for JobsTable {
    async fn due(&self, query: DueQuery) -> Result<Vec<DueJob>, PortError> {
        const OPERATION: &str = "listing due jobs";
        let shard = AttributeValue::S(due_shard(query.shard));
        let mut from = query.after.map(|after| {
            Row::from([
                ("pk".to_owned(), AttributeValue::S(primary_key(after.id))),
                ("due_shard".to_owned(), shard.clone()),
                ("due".to_owned(), AttributeValue::N(milliseconds(after.due).to_string())),
            ])
        });
        let mut due = Vec::new();
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.name)
                .index_name("by_due")
                .key_condition_expression("due_shard = :shard AND due <= :by")
                .expression_attribute_values(":shard", shard.clone())
                .expression_attribute_values(":by", AttributeValue::N(milliseconds(query.by).to_string()))
                .limit(i32::try_from(query.limit - due.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(port_error(OPERATION))?;
            due.extend(page.items().iter().filter_map(due_of));
            from = page.last_evaluated_key;
            if from.is_none() || due.len() >= query.limit {
                return Ok(due);
            }
        }
    }
}

#[async_trait]
impl WriteOnce for JobsTable {
    async fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, PortError> {
        const OPERATION: &str = "reading a request's key";
        let Some(row) = self.row(OPERATION, once_key(key), true).await? else { return Ok(None) };
        // DynamoDB removes expired rows some time after they have expired.
        let expires = row.get("expires").and_then(|expires| expires.as_n().ok()?.parse::<i64>().ok());
        if expires.is_some_and(|expires| expires <= OffsetDateTime::now_utc().unix_timestamp()) {
            return Ok(None);
        }
        earlier_of(&row).map(Some).ok_or_else(|| broken(OPERATION, "the row names no job"))
    }

    async fn write_once(&self, job: &mut Job, key: &RequestKey) -> Result<Option<Earlier>, WriteError> {
        const OPERATION: &str = "writing a job once";
        let mut written = job.clone();
        written.written();
        let row = row_of(&written).map_err(|error| broken(OPERATION, error))?;
        let (text, number) = (AttributeValue::S, AttributeValue::N);
        let now = OffsetDateTime::now_utc().unix_timestamp().to_string();
        let once = Put::builder()
            .table_name(&self.name)
            .item("pk", text(once_key(key)))
            .item("job_id", text(job.id().to_string()))
            .item("request", text(key.request().to_owned()))
            .item("expires", number(key.until().unix_timestamp().to_string()))
            .condition_expression("attribute_not_exists(pk) OR expires <= :now")
            .expression_attribute_values(":now", number(now))
            .build();
        let new = Put::builder()
            .table_name(&self.name)
            .set_item(Some(row))
            .condition_expression("attribute_not_exists(pk)")
            .build();
        let put = |put: Result<Put, _>| {
            put.map(|put| TransactWriteItem::builder().put(put).build())
                .map_err(|error: BuildError| broken(OPERATION, error))
        };
        let sent =
            self.client.transact_write_items().transact_items(put(once)?).transact_items(put(new)?).send();
        match sent.await {
            Ok(_) => {
                *job = written;
                Ok(None)
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(TransactWriteItemsError::is_transaction_canceled_exception) =>
            {
                let earlier = self.earlier(key).await?;
                match earlier {
                    // The SDK tries again when an answer is lost, so the row that is in the way may be the one of our
                    // own first try.
                    Some(earlier) => {
                        if earlier.job == job.id() {
                            *job = written;
                        }
                        Ok(Some(earlier))
                    }
                    None if is_contention(&error) => Err(port_error_retryable(OPERATION, error).into()),
                    None => Err(WriteError::Conflict),
                }
            }
            Err(error) => Err(port_error(OPERATION)(error).into()),
        }
    }
}

/// Whether a transaction was cancelled because of another one or of throttling, and not because a condition failed.
fn is_contention(error: &SdkError<TransactWriteItemsError, HttpResponse>) -> bool {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
    else {
        return false;
    };
    cancelled
        .cancellation_reasons()
        .iter()
        .filter_map(|reason| reason.code())
        .any(|code| code != "None" && code != "ConditionalCheckFailed")
}

fn port_error_retryable(
    operation: &'static str,
    error: SdkError<TransactWriteItemsError, HttpResponse>,
) -> PortError {
    PortError { operation, retryable: true, cause: Box::new(error) }
}

#[async_trait]
impl Probe for JobsTable {
    fn name(&self) -> &'static str {
        "jobs_table"
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.client
            .describe_table()
            .table_name(&self.name)
            .send()
            .await
            .map_err(port_error("describing the jobs table"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testing::build;

    use super::*;

    #[test]
    fn what_is_secret_in_a_job_is_in_an_attribute_of_its_own_and_comes_back() {
        let job = build::queued(OffsetDateTime::now_utc());
        let row = row_of(&job).expect("a row");
        let text = |name: &str| row[name].as_s().expect("text").clone();
        let callback = job.callback().expect("it has one");
        for secret in callback.headers.values().chain(&callback.token) {
            let as_value = format!(":\"{}\"", secret.expose());
            assert!(!text("job").contains(&as_value) && text("secrets").contains(&as_value));
        }
        assert_eq!(job_of(&row, "a test").expect("read"), job);

        let mut of_an_index = row.clone();
        of_an_index.remove("secrets");
        let listed = job_of(&of_an_index, "a test").expect("read");
        let (kept, all) = (listed.callback().expect("it has one"), callback);
        assert_eq!((&kept.token, &kept.url), (&None, &all.url));
        assert!(kept.headers.keys().eq(all.headers.keys()));
        assert!(kept.headers.values().all(|value| value.expose().is_empty()));

        let older =
            Row::from([("job".to_owned(), AttributeValue::S(serde_json::to_string(&job).expect("JSON")))]);
        assert_eq!(job_of(&older, "a test").expect("read"), job, "rows of an older release");
    }
}
