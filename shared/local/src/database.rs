//! The SQLite database, and how it is read and written.

use std::{
    fs::OpenOptions,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jobs::error::PortError;
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// The name of the database's file.
pub const DATABASE: &str = "darkroom.db";

/// The first version of the database. Each later version is another entry of [`MIGRATIONS`]; none is ever changed.
const FIRST: &str = "
    -- `job` is the job as JSON; the other columns are what keys, lists and expiry need of it.
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        status TEXT NOT NULL,
        revision INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        job TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX jobs_by_status ON jobs (status, id);
    CREATE INDEX jobs_by_expiry ON jobs (expires);

    -- `visible` is when a message may be received (again), `receipt` names its last delivery, and `deferred` says that whoever
    -- had that put it off until then. Times are milliseconds since 1970.
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        body TEXT NOT NULL,
        sent INTEGER NOT NULL,
        visible INTEGER NOT NULL,
        receives INTEGER NOT NULL DEFAULT 0,
        receipt TEXT,
        deferred INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX messages_by_visibility ON messages (queue, visible);
    CREATE UNIQUE INDEX messages_by_receipt ON messages (receipt) WHERE receipt IS NOT NULL;

    -- `file` is the name of the content's file below objects/.
    CREATE TABLE objects (
        key TEXT PRIMARY KEY,
        content_type TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        etag TEXT NOT NULL,
        file TEXT NOT NULL UNIQUE
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE secrets (name TEXT PRIMARY KEY, secret BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// `due` is by when something must have happened to a job, in milliseconds since 1970; `listed` is 0 for a job that was
/// deleted and is in no list. `once` has the keys of requests, as hashes.
const DUE: &str = "
    ALTER TABLE jobs ADD COLUMN due INTEGER;
    ALTER TABLE jobs ADD COLUMN listed INTEGER NOT NULL DEFAULT 1;
    CREATE INDEX jobs_by_due ON jobs (due, id) WHERE due IS NOT NULL;
    DROP INDEX jobs_by_status;
    CREATE INDEX jobs_by_status ON jobs (status, id) WHERE listed = 1;
    CREATE INDEX jobs_listed ON jobs (id) WHERE listed = 1;

    CREATE TABLE once (
        key TEXT PRIMARY KEY,
        job TEXT NOT NULL,
        request TEXT NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX once_by_expiry ON once (expires);
";

/// `owner` is whose a job is, where the service asks for keys. `keys` has keys by their hashes, each as JSON; `used`
/// what owners have used on each day.
const OWNERS: &str = "
    ALTER TABLE jobs ADD COLUMN owner TEXT;
    CREATE INDEX jobs_by_owner ON jobs (owner, id) WHERE listed = 1 AND owner IS NOT NULL;
    CREATE INDEX jobs_by_owner_and_status ON jobs (owner, status, id) WHERE listed = 1 AND owner IS NOT NULL;

    CREATE TABLE keys (hash TEXT PRIMARY KEY, created INTEGER NOT NULL, key TEXT NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE used (
        owner TEXT NOT NULL,
        day TEXT NOT NULL,
        jobs INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (owner, day)
    ) STRICT, WITHOUT ROWID;
";

/// The statements that lead from each version of the database to the next; `user_version` counts those that were
/// executed.
const MIGRATIONS: [&str; 3] = [FIRST, DUE, OWNERS];

/// How long a statement waits for another process that looks into the database, such as a backup.
const BUSY: Duration = Duration::from_secs(5);

/// The database. Writes take turns; reads run beside them and see the last commit.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
}

impl Database {
    /// Opens the database, and makes it where there is none.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        only_for_its_owner(path);
        let mut writer = connect(path)?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        for migration in MIGRATIONS.iter().skip(done) {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", MIGRATIONS.len().max(done))?;
        transaction.commit()?;
        let reader = connect(path)?;
        reader.pragma_update(None, "query_only", true)?;
        Ok(Self { writer: Arc::new(Mutex::new(writer)), reader: Arc::new(Mutex::new(reader)) })
    }

    /// Reads, on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let reader = self.reader.clone();
        blocking(operation, move || ask(&reader.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    /// Writes in one transaction, on a thread that may block. The change is on the disk when this returns.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let writer = self.writer.clone();
        blocking(operation, move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let changed = change(&transaction)?;
            transaction.commit()?;
            Ok(changed)
        })
        .await
    }
}

/// Makes the file, where there is none, so that only its owner can read it: it has callback tokens. SQLite gives the
/// files that it puts beside it the same rights.
fn only_for_its_owner(path: &Path) {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // SQLite says what is wrong with a path that cannot be opened.
    drop(options.open(path));
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    // Readers then do not wait for the writer, nor the writer for them.
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Each commit waits for the disk.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

async fn blocking<T: Send + 'static>(
    operation: &'static str,
    ask: impl FnOnce() -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, PortError> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(answer)) => Ok(answer),
        // A full disk or a busy database may be over by the next try.
        Ok(Err(error)) => Err(failed(operation, error)),
        Err(stopped) => Err(failed(operation, stopped)),
    }
}

/// A failure that may be over when it is tried again.
pub(crate) fn failed(
    operation: &'static str,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> PortError {
    PortError { operation, retryable: true, cause: Box::new(cause) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_that_fails_leaves_nothing_and_a_database_is_opened_again_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("darkroom.db");
        let database = Database::open(&path).expect("made");
        let insert = "INSERT INTO secrets (name, secret) VALUES (?1, x'00')";
        database.write("a test", move |change| change.execute(insert, ["kept"])).await.expect("written");
        let half = database
            .write("a test", move |change| {
                change.execute(insert, ["half"])?;
                change.execute(insert, ["kept"])
            })
            .await;
        assert!(half.is_err_and(|error| error.retryable));
        drop(database);

        let database = Database::open(&path).expect("opened");
        let names = database
            .read("a test", |ask| {
                let mut names = ask.prepare("SELECT name FROM secrets")?;
                let names = names.query_map([], |row| row.get::<_, String>(0))?;
                names.collect::<rusqlite::Result<Vec<_>>>()
            })
            .await
            .expect("read");
        assert_eq!(names, ["kept"]);
        let written = database.read("a test", move |ask| ask.execute(insert, ["by a reader"])).await;
        assert!(written.is_err(), "a reader writes nothing");
    }
}
