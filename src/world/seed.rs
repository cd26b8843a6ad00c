//! What a demo needs before its daemon starts: a domain, DKIM keys and somebody who may sign in.
//!
//! Owns:       `demo-secrets.json` in the data directory.
//! Promises:   the second start of the same directory finds what the first one made; secrets lie
//!             in files of mode 0600 alone.
//! Knows not:  the simulated internet.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::demo::DemoError;
use super::operators::OWN_DOMAIN;
use crate::auth;
use crate::clock::Clock;
use crate::config::Settings;
use crate::dkim;
use crate::model::{
    CredentialRules, Domain, OrganizationId, Permission, PoolId, PoolMatch, Role, SessionId,
    SourceKind, SourceOrigin,
};
use crate::store::{DkimKeyRow, Location, SourceChange, SourceGiven, Store, StoreError};

/// A pool, and the stream that it carries.
const MARKETING: &str = "marketing";
const SECRETS_FILE: &str = "demo-secrets.json";
/// Names tried for the credential: `demo`, `demo-2` …
const NAMES_MAX: u32 = 1_000;

/// Who may submit. Not `Debug`, since it holds a secret.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Secrets {
    pub(super) smtp_user: String,
    pub(super) smtp_password: String,
    /// Who may do everything in the panel.
    #[serde(default)]
    pub(super) admin_email: String,
    #[serde(default)]
    pub(super) admin_password: String,
}

pub(super) struct Seed {
    pub(super) secrets: Secrets,
    pub(super) keys: Vec<DkimKeyRow>,
}

/// Nobody and nothing: a person makes all of it.
pub(super) fn nothing() -> Seed {
    let secrets = Secrets {
        smtp_user: String::new(),
        smtp_password: String::new(),
        admin_email: String::new(),
        admin_password: String::new(),
    };
    Seed { secrets, keys: Vec::new() }
}

/// Fills the store with what is missing, and closes it again.
pub(super) async fn seed(settings: &Settings, clock: &Clock) -> Result<Seed, DemoError> {
    let directory = &settings.node.data_dir;
    let location = Location::Sqlite(directory.clone());
    let store = Store::open(&location, settings.node.id, clock.clone()).await?;
    let seeded = fill(&store, settings, clock).await;
    store.close().await;
    seeded
}

async fn fill(store: &Store, settings: &Settings, clock: &Clock) -> Result<Seed, DemoError> {
    let domain = Domain::parse(OWN_DOMAIN).map_err(|_| DemoError::Seed("its own domain"))?;
    if !store.domains().await?.iter().any(|row| row.name == domain) {
        store.add_domain(OrganizationId::FIRST, &domain).await?;
    }
    let file = settings.node.data_dir.join(SECRETS_FILE);
    let secrets = credential(store, &file).await?;
    let secrets = administrator(store, &file, secrets).await?;
    pools(store, settings).await?;
    let mut keys = keys_of(store, &domain).await?;
    if keys.is_empty() {
        make_keys(store, &settings.node.dkim_dir, &domain, clock).await?;
        keys = keys_of(store, &domain).await?;
    }
    Ok(Seed { secrets, keys })
}

/// Marketing has sources of its own, so that it cannot harm those of other mail.
async fn pools(store: &Store, settings: &Settings) -> Result<(), StoreError> {
    if store.source_tables().await?.pools.iter().any(|pool| pool.name == MARKETING) {
        return Ok(());
    }
    let pool = PoolId(store.change_sources(SourceChange::AddPool(MARKETING.to_owned())).await?);
    for setting in settings.source.iter().skip(1) {
        let given = SourceGiven {
            name: setting.name.clone(),
            origin: SourceOrigin::Config,
            ehlo: setting.ehlo.clone().unwrap_or_else(|| settings.node.host_name.clone()),
            kind: SourceKind::Address { bind: setting.address.clone(), public: Vec::new() },
            pool: Some(pool),
        };
        store.change_sources(SourceChange::Put(Box::new(given))).await?;
    }
    let streams = store.streams().await?;
    let stream = streams.iter().find(|stream| stream.name == MARKETING).map(|stream| stream.id);
    if stream.is_some() {
        let matches = Box::new(PoolMatch { stream, ..PoolMatch::default() });
        store.change_sources(SourceChange::PutRule { position: 10, pool, matches }).await?;
    }
    Ok(())
}

async fn keys_of(store: &Store, domain: &Domain) -> Result<Vec<DkimKeyRow>, StoreError> {
    let mut keys = store.dkim_keys().await?;
    keys.retain(|key| key.domain == *domain);
    Ok(keys)
}

async fn make_keys(
    store: &Store,
    directory: &Path,
    domain: &Domain,
    clock: &Clock,
) -> Result<(), DemoError> {
    // Named by the second, so that files which a killed start left behind are not in the way.
    let selector = format!("demo{}", clock.wall().seconds());
    for key in dkim::keys::create(directory, domain, Some(&selector), clock.wall())? {
        let row = DkimKeyRow {
            domain: key.domain,
            selector: key.selector,
            algorithm: key.algorithm.word().to_owned(),
            record: key.record,
            created_at: key.created_at,
        };
        store.add_dkim_key(&row).await?;
    }
    Ok(())
}

/// The credential of an earlier run, or a new one.
async fn credential(store: &Store, file: &Path) -> Result<Secrets, DemoError> {
    let rows = store.credentials().await?;
    if let Some(kept) = read_secrets(file)? {
        let active = |name: &str| rows.iter().any(|r| r.name == name && r.revoked_at.is_none());
        if active(&kept.smtp_user) {
            return Ok(kept);
        }
    }
    let streams = store.streams().await?;
    let stream = streams
        .iter()
        .find(|stream| {
            stream.organization == OrganizationId::FIRST && stream.class == "transactional"
        })
        .or(streams.first())
        .ok_or(DemoError::Seed("a stream"))?;
    let name = (1..=NAMES_MAX)
        .map(|number| if number == 1 { "demo".into() } else { format!("demo-{number}") })
        .find(|name: &String| rows.iter().all(|row| row.name != *name))
        .ok_or(DemoError::Seed("a name for its credential"))?;
    let (secret, hash) = auth::new_secret();
    let secrets = Secrets {
        smtp_user: name.clone(),
        smtp_password: secret,
        admin_email: String::new(),
        admin_password: String::new(),
    };
    // The file first: a secret that nobody knows would be a credential for nobody.
    let text = serde_json::to_vec_pretty(&secrets).map_err(io::Error::other)?;
    write_private(file, &text)?;
    let scopes = Permission::ALL.iter().copied().filter(|one| one.is_for_credentials()).collect();
    let rules = CredentialRules { scopes, ..CredentialRules::default() };
    store.add_credential_with(OrganizationId::FIRST, &name, &hash, stream.id, rules).await?;
    Ok(secrets)
}

/// The administrator of an earlier run, or a new one.
async fn administrator(store: &Store, file: &Path, secrets: Secrets) -> Result<Secrets, DemoError> {
    if !secrets.admin_email.is_empty() && store.user_by_email(&secrets.admin_email).await?.is_some()
    {
        return Ok(secrets);
    }
    let (password, hash) = auth::new_secret();
    let email = format!("admin@{OWN_DOMAIN}");
    let secrets = Secrets { admin_email: email, admin_password: password, ..secrets };
    let text = serde_json::to_vec_pretty(&secrets).map_err(io::Error::other)?;
    write_private(file, &text)?;
    let user = match store.user_by_email(&secrets.admin_email).await? {
        // Its password was lost with the file: it gets the new one.
        Some(user) => {
            store.set_password(user.id, &hash, SessionId(0)).await?;
            user.id
        }
        None => store.add_user(&secrets.admin_email, "Demo", &hash, true).await?,
    };
    store.set_member(OrganizationId::FIRST, user, Role::Owner).await?;
    Ok(secrets)
}

fn read_secrets(file: &Path) -> Result<Option<Secrets>, DemoError> {
    match fs::read(file) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text).map_err(io::Error::other)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whole or not at all, and for its owner alone.
pub(super) fn write_private(file: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = file.with_file_name(name);
    let mut options = fs::OpenOptions::new();
    let mut open = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    open.write_all(text)?;
    open.sync_all()?;
    fs::rename(&part, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_for_their_owner_alone_and_read_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(SECRETS_FILE);
        assert!(read_secrets(&file).expect("reads").is_none());
        let secrets = Secrets {
            smtp_user: "demo".into(),
            smtp_password: "p\"w".into(),
            admin_email: "admin@shop.test".into(),
            admin_password: "secret".into(),
        };
        write_private(&file, &serde_json::to_vec(&secrets).expect("JSON")).expect("written");
        let mode = fs::metadata(&file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = read_secrets(&file).expect("reads").expect("is there");
        assert_eq!(read.smtp_password, "p\"w");
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1);
    }
}
