//! Who may use the service: keys, what each allows, and how much.
//!
//! A service is [open](Access::Open) to whoever reaches it, or asks for [keys](Access::Keys). The store has a key's
//! hash only. A key belongs to an [`Owner`], who sees the jobs of all keys that have the owner's name: so a key is
//! replaced by giving its owner a second one and revoking the first.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    error::{Error, PortError, Reason, Refusal},
    job::Job,
    ports::{Clock, ReadKeys},
    secret::Secret,
    submit::sha256_hex,
};

/// Whether a service asks for keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches it may do everything.
    #[default]
    Open,
    /// Only who has a key may do what the key allows.
    Keys,
}

impl FromStr for Access {
    type Err = UnknownAccess;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "keys" => Ok(Self::Keys),
            _ => Err(UnknownAccess),
        }
    }
}

/// A text that names no way of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("access is `open` or `keys`")]
pub struct UnknownAccess;

/// The name of those whom keys belong to: 1 to 64 letters, digits, dots, hyphens and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner(Arc<str>);

/// A text that is no owner's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 letters, digits, dots, hyphens and underscores")]
pub struct NotAnOwner;

impl FromStr for Owner {
    type Err = NotAnOwner;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(NotAnOwner)
        }
    }
}

impl TryFrom<String> for Owner {
    type Error = NotAnOwner;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.0.as_ref().to_owned()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Handing in images, and having callbacks sent again.
    Submit,
    /// Reading jobs, results and lists.
    Read,
    /// Deleting jobs.
    Delete,
    /// All of that, with everybody's jobs.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Submit, Self::Read, Self::Delete, Self::Admin];

    /// The name, as it is stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or(UnknownScope)
    }
}

/// A text that names no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is submit, read, delete or admin")]
pub struct UnknownScope;

/// How much an owner may use. What is `None` is not limited. Days are those of UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Jobs accepted in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs_a_day: Option<u64>,
    /// Bytes of images, in requests and in pre-signed uploads, accepted in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_a_day: Option<u64>,
    /// Jobs that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs_at_once: Option<u64>,
}

/// What an owner has used in a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Jobs accepted.
    pub jobs: u64,
    /// Bytes of their images, those that were fetched from an address left out.
    pub bytes: u64,
}

impl Usage {
    /// This and more.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self { jobs: self.jobs.saturating_add(more.jobs), bytes: self.bytes.saturating_add(more.bytes) }
    }

    /// Whether it is within a quota.
    #[must_use]
    pub fn is_within(self, quota: &Quota) -> bool {
        quota.jobs_a_day.is_none_or(|most| self.jobs <= most)
            && quota.bytes_a_day.is_none_or(|most| self.bytes <= most)
    }
}

/// The hash of a key, in lowercase hexadecimal: SHA-256. A key is too long to be guessed, so that a slow hash would
/// protect nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(String);

impl KeyHash {
    /// The hash of what a client sent as its key.
    #[must_use]
    pub fn of(key: &Secret) -> Self {
        Self(sha256_hex(key.expose().as_bytes()))
    }

    /// The hash as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many characters of its hash tell a key from the others of a deployment.
const ID: usize = 12;

/// A key, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its hash.
    pub hash: KeyHash,
    /// Whose it is.
    pub owner: Owner,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// How much its owner may use with it.
    #[serde(default)]
    pub quota: Quota,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

impl Key {
    /// A new key, and its text, which is known this once.
    #[must_use]
    pub fn new(
        owner: Owner,
        scopes: BTreeSet<Scope>,
        quota: Quota,
        created_at: OffsetDateTime,
        expires_at: Option<OffsetDateTime>,
    ) -> (Self, Secret) {
        // Two random UUIDs have 244 random bits, of the operating system's own generator.
        let random = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let text = Secret::new(format!("dk_{}", BASE64_URL_SAFE_NO_PAD.encode(random)));
        (Self { hash: KeyHash::of(&text), owner, scopes, quota, created_at, expires_at }, text)
    }

    /// What tells it from the others: the beginning of its hash.
    #[must_use]
    pub fn id(&self) -> &str {
        self.hash.as_str().get(..ID).unwrap_or_else(|| self.hash.as_str())
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// Who asks for something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// Whoever reached the service, which is open.
    #[default]
    Anyone,
    /// Who has this key.
    Holder(Arc<Key>),
}

impl Caller {
    /// Checks that the caller may do what a scope stands for.
    ///
    /// # Errors
    /// [`Refusal`] for a key without that scope.
    pub fn require(&self, scope: Scope) -> Result<(), Refusal> {
        let Self::Holder(key) = self else { return Ok(()) };
        if key.scopes.contains(&scope) || key.scopes.contains(&Scope::Admin) {
            return Ok(());
        }
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
        Err(Refusal::new(
            Reason::OutOfScope,
            "key_does_not_allow_this",
            format!("This takes a key with the scope `{scope}`; yours has {}.", scopes.join(", ")),
        ))
    }

    /// Whose jobs are made.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        match self {
            Self::Anyone => None,
            Self::Holder(key) => Some(&key.owner),
        }
    }

    /// Whose jobs alone are shown, unless all are.
    #[must_use]
    pub fn only(&self) -> Option<&Owner> {
        match self {
            Self::Holder(key) if !key.scopes.contains(&Scope::Admin) => Some(&key.owner),
            _ => None,
        }
    }

    /// Whether a job is there for this caller.
    #[must_use]
    pub fn sees(&self, job: &Job) -> bool {
        self.only().is_none_or(|owner| job.owner() == Some(owner))
    }
}

/// How long a key that was read counts without being read again: as long may a revoked key go on.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The most keys that are remembered at a time.
const MOST_REMEMBERED: usize = 1_000;

/// The longest key that is looked up, in bytes.
const MAX_KEY: usize = 256;

/// Keys that were read, and until when each counts.
type Remembered = HashMap<KeyHash, (Arc<Key>, OffsetDateTime)>;

/// Lets callers in, or not.
#[derive(Clone)]
pub struct Gate {
    access: Access,
    keys: Arc<dyn ReadKeys>,
    clock: Arc<dyn Clock>,
    remembered: Arc<Mutex<Remembered>>,
}

impl Gate {
    /// The gate of a service. That it is open is logged, so that nobody finds out by accident.
    #[must_use]
    pub fn new(access: Access, keys: Arc<dyn ReadKeys>, clock: Arc<dyn Clock>) -> Self {
        if access == Access::Open {
            tracing::warn!(
                "the service is open: whoever reaches it sees and deletes every job; ACCESS=keys asks for keys"
            );
        }
        Self { access, keys, clock, remembered: Arc::default() }
    }

    /// The caller who sent this key, or none.
    ///
    /// # Errors
    /// [`Error::Refused`] where a key is needed and this is none that holds; [`Error::Port`].
    pub async fn admit(&self, key: Option<&Secret>) -> Result<Caller, Error> {
        if self.access == Access::Open {
            return Ok(Caller::Anyone);
        }
        let Some(text) = key else {
            return Err(Refusal::new(
                Reason::NoKey,
                "key_missing",
                "This takes a key: send it as `Authorization: Bearer KEY`, or as `x-api-key: KEY`.",
            )
            .into());
        };
        let found = if text.expose().len() <= MAX_KEY { self.find(&KeyHash::of(text)).await? } else { None };
        match found.filter(|key| !key.has_ended(self.clock.now())) {
            Some(key) => Ok(Caller::Holder(key)),
            None => Err(Refusal::new(
                Reason::NoKey,
                "key_invalid",
                "There is no such key: it never was, was revoked, or has ended. Ask whoever runs the service for one.",
            )
            .into()),
        }
    }

    /// The key of a hash. Only keys that there are are remembered, so that guesses cost no memory.
    async fn find(&self, hash: &KeyHash) -> Result<Option<Arc<Key>>, PortError> {
        let now = self.clock.now();
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((key, until)) = remembered().get(hash)
            && *until > now
        {
            return Ok(Some(key.clone()));
        }
        let key = self.keys.key(hash).await?.map(Arc::new);
        let mut remembered = remembered();
        match &key {
            Some(key) => {
                if remembered.len() >= MOST_REMEMBERED {
                    remembered.clear();
                }
                remembered.insert(hash.clone(), (key.clone(), now + REMEMBERED));
            }
            None => {
                remembered.remove(hash);
            }
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use time::Duration as Span;

    use super::*;

    fn key(scopes: &[Scope]) -> (Key, Secret) {
        let owner = "team-a".parse().expect("a name");
        Key::new(owner, scopes.iter().copied().collect(), Quota::default(), OffsetDateTime::UNIX_EPOCH, None)
    }

    #[test]
    fn a_key_is_long_new_each_time_and_known_by_its_hash() {
        let ((first, text), (second, other)) = (key(&[Scope::Read]), key(&[Scope::Read]));
        assert!(text.expose().starts_with("dk_") && text.expose().len() == 46, "{}", text.expose());
        assert_ne!(text, other);
        assert_eq!(first.hash, KeyHash::of(&text));
        assert_ne!(first.id(), second.id());
        assert_eq!(first.id().len(), ID);
        let stored = serde_json::to_string(&first).expect("JSON");
        assert!(!stored.contains(text.expose()) && !format!("{first:?}").contains(text.expose()));
        assert_eq!(serde_json::from_str::<Key>(&stored).expect("read again"), first);
    }

    #[test]
    fn a_key_that_was_written_by_hand_needs_no_quota_and_no_end() {
        let text = r#"{"hash": "ab", "owner": "team-a", "scopes": ["submit", "read"],
            "created_at": "2026-11-30T00:00:00Z"}"#;
        let key: Key = serde_json::from_str(text).expect("a key");
        assert_eq!((key.quota, key.expires_at, key.id()), (Quota::default(), None, "ab"));
        serde_json::from_str::<Key>(&text.replace("team-a", "team a")).expect_err("no name");
        serde_json::from_str::<Key>(&text.replace("read", "reed")).expect_err("no scope");
    }

    #[test]
    fn a_scope_allows_what_it_says_and_admin_allows_all() {
        let caller = |scopes: &[Scope]| Caller::Holder(Arc::new(key(scopes).0));
        let reader = caller(&[Scope::Read]);
        assert_eq!(reader.require(Scope::Read), Ok(()));
        let refused = reader.require(Scope::Submit).expect_err("another scope");
        assert_eq!((refused.reason, refused.code), (Reason::OutOfScope, "key_does_not_allow_this"));
        assert!(refused.message.contains("`submit`") && refused.message.contains("yours has read"));
        for scope in Scope::ALL {
            assert_eq!(caller(&[Scope::Admin]).require(scope), Ok(()));
            assert_eq!(Caller::Anyone.require(scope), Ok(()));
        }
        assert_eq!(caller(&[Scope::Admin]).only(), None);
        assert_eq!(reader.only(), reader.owner());
    }

    #[test]
    fn a_key_ends_when_it_says() {
        let (mut key, _) = key(&[]);
        let end = OffsetDateTime::UNIX_EPOCH + Span::days(1);
        assert!(!key.has_ended(end));
        key.expires_at = Some(end);
        assert!(key.has_ended(end) && !key.has_ended(end - Span::SECOND));
    }

    #[test]
    fn usage_is_held_to_each_part_of_a_quota() {
        let quota = Quota { jobs_a_day: Some(2), bytes_a_day: Some(10), jobs_at_once: None };
        let used = Usage { jobs: 1, bytes: 10 };
        assert!(used.is_within(&quota) && used.and(Usage { jobs: 1, bytes: 0 }).is_within(&quota));
        for more in
            [Usage { jobs: 2, bytes: 0 }, Usage { jobs: 0, bytes: 1 }, Usage { jobs: u64::MAX, bytes: 0 }]
        {
            assert!(!used.and(more).is_within(&quota));
        }
        assert!(Usage { jobs: u64::MAX, bytes: u64::MAX }.is_within(&Quota::default()));
    }

    #[test]
    fn an_owner_s_name_can_stand_in_a_key_of_the_store() {
        for text in ["a", "team-a.prod_2", &"x".repeat(64)] {
            assert_eq!(text.parse::<Owner>().expect(text).to_string(), text);
        }
        for text in ["", "a b", "a#b", "ä", "a/b", &"x".repeat(65)] {
            assert_eq!(text.parse::<Owner>(), Err(NotAnOwner), "{text}");
        }
    }
}
