//! Keys, and what their owners have used, in the jobs table.
//!
//! | row | `pk` | in the index `by_owner` | other attributes |
//! |---|---|---|---|
//! | a key | `KEY#{hash}` | `KEYS`, by the time at which it was made | `key`, as JSON |
//! | what an owner has used on a day | `USED#{owner}#{day}` | `USED#{owner}`, by day | `jobs`, `bytes` |
//!
//! What was used has `expires`, and so has a key that ends.

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, Select},
};
use jobs::{
    access::{Key, KeyHash, Owner, Quota, Usage},
    error::PortError,
    job::Status,
    ports::{CountUsage, ReadKeys, USAGE_KEPT, WriteKeys},
};
use time::{Date, format_description::well_known::Iso8601};

use crate::{
    error::{broken, port_error},
    table::{JobsTable, Row, owner_status},
};

/// The index that lists keys and usage.
const INDEX: &str = "by_owner";

/// Where keys are in it.
const KEYS: &str = "KEYS";

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(format!("{number}"))
}

fn row_key(hash: &KeyHash) -> String {
    format!("KEY#{}", hash.as_str())
}

fn key_of(row: &Row, operation: &'static str) -> Result<Key, PortError> {
    let json = row.get("key").and_then(|key| key.as_s().ok());
    serde_json::from_str(json.ok_or_else(|| broken(operation, "the row has no key"))?)
        .map_err(|error| broken(operation, error))
}

fn usage_of(row: &Row) -> Usage {
    let count = |name: &str| row.get(name).and_then(|count| count.as_n().ok()?.parse().ok()).unwrap_or(0);
    Usage { jobs: count("jobs"), bytes: count("bytes") }
}

fn used_list(owner: &Owner) -> String {
    format!("USED#{owner}")
}

fn used_key(owner: &Owner, day: Date) -> String {
    format!("{}#{day}", used_list(owner))
}

impl JobsTable {
    /// The rows of one partition of the index, in order, between two sort keys.
    async fn listed(
        &self,
        operation: &'static str,
        partition: String,
        [first, last]: [String; 2],
    ) -> Result<Vec<Row>, PortError> {
        let mut rows = Vec::new();
        let mut from = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.name)
                .index_name(INDEX)
                .key_condition_expression("owner_list = :list AND id BETWEEN :first AND :last")
                .expression_attribute_values(":list", text(partition.clone()))
                .expression_attribute_values(":first", text(first.clone()))
                .expression_attribute_values(":last", text(last.clone()))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(port_error(operation))?;
            rows.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(rows);
            }
        }
    }
}

#[async_trait]
impl ReadKeys for JobsTable {
    async fn key(&self, hash: &KeyHash) -> Result<Option<Key>, PortError> {
        const OPERATION: &str = "reading a key";
        let row = self.row(OPERATION, row_key(hash), false).await?;
        row.map(|row| key_of(&row, OPERATION)).transpose()
    }
}

#[async_trait]
impl WriteKeys for JobsTable {
    async fn keys(&self) -> Result<Vec<Key>, PortError> {
        const OPERATION: &str = "listing keys";
        // Every sort key begins with a digit.
        let rows = self.listed(OPERATION, KEYS.to_owned(), ["0".to_owned(), "a".to_owned()]).await?;
        rows.iter().map(|row| key_of(row, OPERATION)).collect()
    }

    async fn write_key(&self, key: &Key) -> Result<(), PortError> {
        const OPERATION: &str = "writing a key";
        let json = serde_json::to_string(key).map_err(|error| broken(OPERATION, error))?;
        let made = format!("{:012}#{}", key.created_at.unix_timestamp(), key.hash.as_str());
        let mut row = Row::from([
            ("pk".to_owned(), text(row_key(&key.hash))),
            ("owner_list".to_owned(), text(KEYS)),
            ("id".to_owned(), text(made)),
            ("key".to_owned(), text(json)),
        ]);
        if let Some(end) = key.expires_at {
            row.insert("expires".to_owned(), number(end.unix_timestamp()));
        }
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(row))
            .send()
            .await
            .map_err(port_error(OPERATION))?;
        Ok(())
    }

    async fn remove_key(&self, hash: &KeyHash) -> Result<(), PortError> {
        self.remove_row("removing a key", row_key(hash)).await
    }
}

#[async_trait]
impl CountUsage for JobsTable {
    async fn use_up(
        &self,
        owner: &Owner,
        day: Date,
        more: Usage,
        quota: &Quota,
    ) -> Result<Result<Usage, Usage>, PortError> {
        const OPERATION: &str = "counting what is used";
        if !more.is_within(quota) {
            let used = self.usage(owner, day, day).await?;
            return Ok(Err(used.first().map(|(_, used)| *used).unwrap_or_default()));
        }
        let end = day.midnight().assume_utc() + USAGE_KEPT;
        let mut update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", text(used_key(owner, day)))
            .update_expression(
                "SET owner_list = :list, id = :day, expires = :expires ADD #jobs :jobs, #bytes :bytes",
            )
            .expression_attribute_names("#jobs", "jobs")
            .expression_attribute_names("#bytes", "bytes")
            .expression_attribute_values(":list", text(used_list(owner)))
            .expression_attribute_values(":day", text(day.to_string()))
            .expression_attribute_values(":expires", number(end.unix_timestamp()))
            .expression_attribute_values(":jobs", number(more.jobs))
            .expression_attribute_values(":bytes", number(more.bytes))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut conditions = Vec::new();
        for (name, value, most, more) in [
            ("#jobs", ":most_jobs", quota.jobs_a_day, more.jobs),
            ("#bytes", ":most_bytes", quota.bytes_a_day, more.bytes),
        ] {
            let Some(most) = most else { continue };
            conditions.push(format!("(attribute_not_exists({name}) OR {name} <= {value})"));
            update = update.expression_attribute_values(value, number(most.saturating_sub(more)));
        }
        if !conditions.is_empty() {
            update = update.condition_expression(conditions.join(" AND "));
        }
        match update.send().await {
            Ok(output) => Ok(Ok(output.attributes().map(usage_of).unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Err(failed.item().map(usage_of).unwrap_or_default()))
                }
                _ => Err(port_error(OPERATION)(error)),
            },
        }
    }

    async fn usage(&self, owner: &Owner, first: Date, last: Date) -> Result<Vec<(Date, Usage)>, PortError> {
        const OPERATION: &str = "reading what is used";
        if first == last {
            // What was just counted is in the row, and in the index some time later.
            let row = self.row(OPERATION, used_key(owner, first), true).await?;
            return Ok(row.iter().map(|row| (first, usage_of(row))).collect());
        }
        let rows = self.listed(OPERATION, used_list(owner), [first.to_string(), last.to_string()]).await?;
        let day = |row: &Row| Date::parse(row.get("id")?.as_s().ok()?, &Iso8601::DATE).ok();
        let days = rows
            .iter()
            .map(|row| Ok((day(row).ok_or_else(|| broken(OPERATION, "the row has no day"))?, usage_of(row))));
        days.collect()
    }

    async fn unended(&self, owner: &Owner, most: usize) -> Result<usize, PortError> {
        let mut unended = 0;
        for status in Status::ALL.into_iter().filter(|status| !status.is_final()) {
            let mut from = None;
            while unended < most {
                let page = self
                    .client
                    .query()
                    .table_name(&self.name)
                    .index_name("by_owner_status")
                    .key_condition_expression("owner_status = :status")
                    .expression_attribute_values(":status", text(owner_status(owner, status)))
                    .select(Select::Count)
                    .limit(i32::try_from(most - unended).unwrap_or(i32::MAX))
                    .set_exclusive_start_key(from)
                    .send()
                    .await
                    .map_err(port_error("counting unended jobs"))?;
                unended += usize::try_from(page.count()).unwrap_or(0);
                from = page.last_evaluated_key;
                if from.is_none() {
                    break;
                }
            }
        }
        Ok(unended)
    }
}
