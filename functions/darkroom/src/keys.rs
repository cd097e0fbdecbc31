//! Making, listing and revoking keys.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aws::{Clients, WORKER_PATIENCE};
use jobs::{
    access::{Key, Quota},
    error::{Chain, PortError},
    ports::{Clock as _, SystemClock, WriteKeys},
};
use local::JobsTable;
use runtime::config::{Config, ConfigError};

use crate::arguments::{KeyStore, Keys, KeysCommand, NewKey, StoreKind};

/// Why keys were not made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A variable of the environment is missing or invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The local store cannot be used.
    #[error(transparent)]
    Store(#[from] local::OpenError),
    /// The folder has no store, and so no keys.
    #[error("{} is no folder of a service; name another one in DATA_DIR", .0.display())]
    NoStore(PathBuf),
    /// The table failed.
    #[error("{}", Chain(.0))]
    Port(#[from] PortError),
    /// There is no such key, or several.
    #[error("{0} keys have an id that begins with this; `darkroom keys list` shows the ids")]
    NotOne(usize),
}

/// Does what was asked for, and returns what to print.
///
/// # Errors
/// [`KeysError`].
pub(crate) async fn run(keys: &Keys) -> Result<String, KeysError> {
    let store = &keys.store;
    let is_new = store.store == StoreKind::Local && !store.data_dir.join(local::DATABASE).exists();
    if is_new && !matches!(keys.command, KeysCommand::Create(_)) {
        return Err(KeysError::NoStore(store.data_dir.clone()));
    }
    let store = open(store).await?;
    match &keys.command {
        KeysCommand::Create(new) => create(&*store, new).await,
        KeysCommand::List => list(&*store).await,
        KeysCommand::Revoke { id } => revoke(&*store, id).await,
    }
}

async fn open(store: &KeyStore) -> Result<Arc<dyn WriteKeys>, KeysError> {
    Ok(match store.store {
        StoreKind::Local => Arc::new(JobsTable::open(&store.data_dir)?),
        StoreKind::Aws => {
            let config = Config::from_env()?;
            Arc::new(Clients::from_env(WORKER_PATIENCE).await.table(config.resource("JOBS_TABLE")?))
        }
    })
}

async fn create(store: &dyn WriteKeys, new: &NewKey) -> Result<String, KeysError> {
    let now = SystemClock.now();
    let end = new.days.map(|days| now + Duration::from_secs(u64::from(days) * 24 * 3_600));
    let quota =
        Quota { jobs_a_day: new.jobs_a_day, bytes_a_day: new.bytes_a_day, jobs_at_once: new.jobs_at_once };
    let scopes = new.scopes.iter().copied().collect();
    let (key, text) = Key::new(new.owner.clone(), scopes, quota, now, end);
    store.write_key(&key).await?;
    Ok(format!(
        "{}\n\nThis is the key of {}, id {}. It is shown this once.",
        text.expose(),
        key.owner,
        key.id()
    ))
}

async fn list(store: &dyn WriteKeys) -> Result<String, KeysError> {
    let now = SystemClock.now();
    let mut lines =
        vec!["id            owner                 made        ends        scopes and quota".to_owned()];
    for key in store.keys().await? {
        let end = match key.expires_at {
            None => "never".to_owned(),
            Some(_) if key.has_ended(now) => "has ended".to_owned(),
            Some(end) => end.date().to_string(),
        };
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
        let Quota { jobs_a_day, bytes_a_day, jobs_at_once } = key.quota;
        let quota: String =
            [("jobs a day", jobs_a_day), ("bytes a day", bytes_a_day), ("jobs at once", jobs_at_once)]
                .into_iter()
                .filter_map(|(what, most)| most.map(|most| format!("; {most} {what}")))
                .collect();
        let (id, owner, made, scopes) =
            (key.id(), key.owner.to_string(), key.created_at.date(), scopes.join(", "));
        lines.push(format!("{id:<13} {owner:<21} {made}  {end:<11} {scopes}{quota}"));
    }
    Ok(lines.join("\n"))
}

async fn revoke(store: &dyn WriteKeys, id: &str) -> Result<String, KeysError> {
    let keys: Vec<_> =
        store.keys().await?.into_iter().filter(|key| key.hash.as_str().starts_with(id)).collect();
    let [key] = &*keys else { return Err(KeysError::NotOne(keys.len())) };
    store.remove_key(&key.hash).await?;
    Ok(format!("The key {} of {} is revoked. It may go on for a minute.", key.id(), key.owner))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use testing::memory::MemoryJobs;

    use super::*;
    use crate::{Arguments, arguments::Command};

    fn new_key(arguments: &[&str]) -> NewKey {
        let arguments = [&["darkroom", "keys", "create"], arguments].concat();
        let Command::Keys(Keys { command: KeysCommand::Create(new), .. }) =
            Arguments::parse_from(arguments).command
        else {
            panic!("another command");
        };
        new
    }

    #[tokio::test]
    async fn a_key_is_made_listed_without_its_text_and_revoked_by_its_id() {
        let store = MemoryJobs::default();
        let new = new_key(&["team-a", "--scopes", "submit,read", "--days", "30", "--jobs-a-day", "100"]);
        let told = create(&store, &new).await.expect("made");
        let text = told.lines().next().expect("the key");
        create(&store, &new_key(&["team-b"])).await.expect("made");
        // Both were made in one moment, so either may be the first.
        let mut keys = store.keys().await.expect("listed");
        keys.sort_by_key(|key| key.owner.clone());
        let [key, other] = &*keys else { panic!("two keys") };
        assert_eq!(key.scopes.len(), 2);
        assert_eq!(other.scopes.len(), 3, "all but `admin`, unless said otherwise");
        let listed = list(&store).await.expect("listed");
        assert!(!listed.contains(text) && listed.contains("submit, read; 100 jobs a day"), "{listed}");
        assert!(matches!(revoke(&store, "").await, Err(KeysError::NotOne(2))));
        assert!(matches!(revoke(&store, "nonsense").await, Err(KeysError::NotOne(0))));
        revoke(&store, key.id()).await.expect("revoked");
        assert_eq!(store.keys().await.expect("listed"), std::slice::from_ref(other));
    }
}
