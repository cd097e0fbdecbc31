//! Jobs in DynamoDB.
//!
//! A row has the job's own fields and, beside them, what keys, indexes and expiry need: `pk`, `list_shard`,
//! `status_shard` and `expires`. Both indexes sort by the job's id, which is the order of creation; so a page's
//! cursor is an id, whichever index and shard it is read from.

use async_trait::async_trait;
use aws_sdk_dynamodb::{Client, operation::put_item::PutItemError, types::AttributeValue};
use jobs::{
    error::{PortError, WriteError},
    id::{JobId, SHARDS},
    job::{Job, Status},
    ports::{ListJobs, ListQuery, Probe, ReadJobs, WriteJobs},
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::error::{broken, port_error};

/// The jobs table.
#[derive(Clone, Debug)]
pub struct JobsTable {
    client: Client,
    name: String,
}

/// A row as it is stored.
#[derive(Serialize, Deserialize)]
struct Row {
    pk: String,
    list_shard: String,
    status_shard: String,
    /// Unix seconds, for DynamoDB's expiry.
    expires: i64,
    #[serde(flatten)]
    job: Job,
}

impl Row {
    fn new(job: Job) -> Self {
        let shard = job.id().shard();
        Self {
            pk: primary_key(job.id()),
            list_shard: list_shard(shard),
            status_shard: status_shard(job.status(), shard),
            expires: job.expires_at().unix_timestamp(),
            job,
        }
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

impl JobsTable {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The newest of one shard's jobs.
    async fn list_shard(&self, query: ListQuery, shard: u8) -> Result<Vec<Job>, PortError> {
        const OPERATION: &str = "listing jobs";
        let (index, attribute, partition) = match query.status {
            None => ("by_created", "list_shard", list_shard(shard)),
            Some(status) => ("by_status", "status_shard", status_shard(status, shard)),
        };
        let mut jobs = Vec::new();
        let mut from = None;
        // DynamoDB ends a page at 1 MB, so a shard may take several.
        loop {
            let missing = i32::try_from(query.limit - jobs.len()).unwrap_or(i32::MAX);
            let request = self
                .client
                .query()
                .table_name(&self.name)
                .index_name(index)
                .expression_attribute_names("#p", attribute)
                .expression_attribute_values(":p", AttributeValue::S(partition.clone()))
                .scan_index_forward(false)
                .limit(missing)
                .set_exclusive_start_key(from);
            let request = match query.before {
                None => request.key_condition_expression("#p = :p"),
                Some(before) => request
                    .key_condition_expression("#p = :p AND id < :before")
                    .expression_attribute_values(":before", AttributeValue::S(before.to_string())),
            };
            let page = request.send().await.map_err(port_error(OPERATION))?;
            for item in page.items.unwrap_or_default() {
                jobs.push(parse(item, OPERATION)?);
            }
            from = page.last_evaluated_key;
            if from.is_none() || jobs.len() >= query.limit {
                return Ok(jobs);
            }
        }
    }
}

fn parse(
    item: std::collections::HashMap<String, AttributeValue>,
    operation: &'static str,
) -> Result<Job, PortError> {
    let row: Row = serde_dynamo::from_item(item).map_err(|error| broken(operation, error))?;
    Ok(row.job)
}

#[async_trait]
impl ReadJobs for JobsTable {
    async fn get(&self, id: JobId) -> Result<Option<Job>, PortError> {
        const OPERATION: &str = "reading a job";
        let output = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("pk", AttributeValue::S(primary_key(id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(port_error(OPERATION))?;
        output.item.map(|item| parse(item, OPERATION)).transpose()
    }
}

#[async_trait]
impl ListJobs for JobsTable {
    async fn list(&self, query: ListQuery) -> Result<Vec<Job>, PortError> {
        let mut shards = JoinSet::new();
        for shard in 0..SHARDS {
            let table = self.clone();
            shards.spawn(async move { table.list_shard(query, shard).await });
        }
        let mut jobs = Vec::new();
        while let Some(shard) = shards.join_next().await {
            jobs.extend(shard.map_err(|error| broken("listing jobs", error))??);
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id()));
        jobs.truncate(query.limit);
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
        let item = serde_dynamo::to_item(Row::new(written)).map_err(|error| broken(OPERATION, error))?;
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let put = if read == 0 {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            put.condition_expression("revision = :read")
                .expression_attribute_values(":read", AttributeValue::N(read.to_string()))
        };
        match put.send().await {
            Ok(_) => {
                job.written();
                Ok(())
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Err(WriteError::Conflict)
            }
            Err(error) => Err(port_error(OPERATION)(error).into()),
        }
    }

    async fn delete(&self, id: JobId) -> Result<(), PortError> {
        self.client
            .delete_item()
            .table_name(&self.name)
            .key("pk", AttributeValue::S(primary_key(id)))
            .send()
            .await
            .map_err(port_error("deleting a job"))?;
        Ok(())
    }
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
