//! Imports: a file of contacts comes in, is looked at, and is written in the background.
//!
//! Owns:       the directory `imports/` of the data directory, and the task that runs imports.
//! Promises:   memory does not grow with the file; what a crash interrupts goes on with the row
//!             that comes next; every row that fails is told with its reason; accepted mail never
//!             waits for more than one batch.
//! Knows not:  HTTP, SQL.

mod files; // uploads, previews, rows that failed
mod recognise; // what columns are likely to be
mod records; // records in bounded memory
mod rows; // a record becomes a contact
mod runner; // the task
mod unzip; // the one file of contacts within a zip

pub use files::{Preview, Upload};
pub use recognise::{Origin, Target};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::fields::{self, NewField};
use super::{Schema, Unlawful, edit};
use crate::clock::Clock;
use crate::model::*;
use crate::store::{ContactChange, ImportChange, ImportRow, Narrowed, Store, StoreError};

const WORDING_BYTES_MAX: usize = 2000;
const NAMES_MAX: usize = 100;

/// What is to be done with a file.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub mode: ImportMode,
    /// What becomes of each column, from the left.
    pub columns: Vec<Target>,
    /// The first row heads the columns.
    #[serde(default = "yes")]
    pub heads: bool,
    /// Lists to subscribe to, or with `unsubscribe` to leave.
    #[serde(default)]
    pub lists: Vec<ListId>,
    /// Tags for all of them.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How day and month stand in `03/04/2024`.
    #[serde(default)]
    pub date_order: DateOrder,
    /// What stands between the cells; told from the first line when it is missing.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// Needed to subscribe anybody.
    #[serde(default)]
    pub declaration: Option<Declaration>,
}

const fn yes() -> bool {
    true
}

/// Who imports declares that the persons agreed; it is kept with each membership.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Must be true: everybody in the file has asked for this mail.
    pub agreed: bool,
    /// Where they agreed.
    pub source: String,
    /// To what.
    #[serde(default)]
    pub wording: String,
}

/// What is kept of the options once names are looked up and the declaration has a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plan {
    options: Options,
    consent: ConsentId,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Unlawful(#[from] Unlawful),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no such import")]
    None,
    /// Of an import that has gone further already.
    #[error("the import is {0}")]
    State(ImportState),
    #[error("the file of the import: {0}")]
    File(#[from] std::io::Error),
}

/// A cheap handle; all clones share the directory and the task.
#[derive(Clone)]
pub struct Imports(Arc<Inner>);

struct Inner {
    store: Store,
    directory: PathBuf,
    clock: Clock,
    wake: Notify,
}

impl Imports {
    /// Files lie in `imports/` of this directory. Nothing runs until `run` does.
    pub fn open(store: Store, data_dir: &Path, clock: Clock) -> std::io::Result<Imports> {
        let directory = data_dir.join("imports");
        std::fs::create_dir_all(&directory)?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&directory, private)?;
        Ok(Imports(Arc::new(Inner { store, directory, clock, wake: Notify::new() })))
    }

    fn of(&self, id: ImportId, what: &str) -> PathBuf {
        self.0.directory.join(format!("{id}.{what}.csv"))
    }

    pub async fn show(
        &self,
        organization: OrganizationId,
        id: ImportId,
    ) -> Result<ImportRow, ImportError> {
        self.0.store.import(organization, id).await?.ok_or(ImportError::None)
    }

    pub async fn list(
        &self,
        organization: OrganizationId,
        before: ImportId,
        limit: u32,
        narrowed: &Narrowed,
    ) -> Result<Vec<ImportRow>, ImportError> {
        Ok(self.0.store.imports(organization, before, limit, narrowed).await?)
    }

    /// Makes the fields and tags that the options name, keeps the declaration, and lets it run;
    /// through `store`, so that it stands in the audit log.
    pub async fn start(
        &self,
        organization: OrganizationId,
        id: ImportId,
        (options, store): (Options, &Store),
    ) -> Result<ImportRow, ImportError> {
        let row = self.show(organization, id).await?;
        if row.state != ImportState::Uploaded {
            return Err(ImportError::State(row.state));
        }
        let mut schema = Schema::read(store, organization).await?;
        lawful(&schema, &options)?;
        let new = new_fields(&schema, organization, &options.columns)?;
        for field in new {
            let change = ContactChange::AddField(field, self.0.clock.now());
            store.change_contacts(change).await?;
        }
        for name in &options.tags {
            let name = edit::tag(name)?;
            store.change_contacts(ContactChange::Tag { organization, name }).await?;
        }
        schema.fields = store.fields(organization).await?;
        rows::Reader::new(&schema, &options)?;
        let consent = self.declare(organization, &options, store).await?;
        let plan = Plan { options, consent };
        let options = serde_json::to_string(&plan).map_err(std::io::Error::other)?;
        store.change_import(ImportChange::Start { id, options }).await?;
        self.0.wake.notify_one();
        self.show(organization, id).await
    }

    async fn declare(
        &self,
        organization: OrganizationId,
        options: &Options,
        store: &Store,
    ) -> Result<ConsentId, ImportError> {
        let (source, wording) = match &options.declaration {
            Some(declaration) => (declaration.source.clone(), declaration.wording.clone()),
            None => ("import".to_owned(), String::new()),
        };
        let action = match options.mode {
            ImportMode::Unsubscribe => ConsentAction::Unsubscribed,
            _ => ConsentAction::Imported,
        };
        let at = self.0.clock.now();
        let list = None;
        let change = ContactChange::AddConsent { organization, list, action, at, source, wording };
        Ok(ConsentId(store.change_contacts(change).await?))
    }

    /// What was written until now stays.
    pub async fn cancel(
        &self,
        organization: OrganizationId,
        id: ImportId,
        store: &Store,
    ) -> Result<ImportRow, ImportError> {
        let row = self.show(organization, id).await?;
        let (state, at) = (ImportState::Cancelled, self.0.clock.now());
        let change = ImportChange::End { id, state, trouble: None, at };
        match store.change_import(change).await? {
            0 => Err(ImportError::State(row.state)),
            _ => {
                files::remove(&self.of(id, "file"));
                self.show(organization, id).await
            }
        }
    }

    /// With its file and the rows that failed.
    pub async fn remove(
        &self,
        organization: OrganizationId,
        id: ImportId,
        store: &Store,
    ) -> Result<(), ImportError> {
        let row = self.show(organization, id).await?;
        match store.change_import(ImportChange::Remove { id }).await? {
            0 => Err(ImportError::State(row.state)),
            _ => {
                files::remove(&self.of(id, "file"));
                files::remove(&self.of(id, "failed"));
                Ok(())
            }
        }
    }
}

fn lawful(schema: &Schema, options: &Options) -> Result<(), Unlawful> {
    let needs_lists = matches!(options.mode, ImportMode::Subscribe | ImportMode::Unsubscribe);
    if needs_lists && options.lists.is_empty() {
        return Err(Unlawful::of("lists", "name the lists"));
    }
    if options.mode == ImportMode::Suppress && !options.lists.is_empty() {
        return Err(Unlawful::of("lists", "who is suppressed joins no list"));
    }
    if options.lists.len() > NAMES_MAX || options.tags.len() > NAMES_MAX {
        return Err(Unlawful::of("lists", format!("at most {NAMES_MAX} lists and tags")));
    }
    if let Some(list) = options.lists.iter().find(|list| schema.list(**list).is_none()) {
        return Err(Unlawful::of("lists", format!("there is no list {list}")));
    }
    if options.columns.is_empty() || options.columns.len() > records::CELLS_MAX {
        return Err(Unlawful::of("columns", "must be 1 to 500"));
    }
    if options.delimiter.is_some_and(|delimiter| !",;\t|".contains(delimiter)) {
        return Err(Unlawful::of("delimiter", "must be one of , ; | or a tabulator"));
    }
    for (place, target) in options.columns.iter().enumerate() {
        let is_once =
            matches!(target, Target::Ignore {}) || !options.columns[..place].contains(target);
        if !is_once {
            return Err(Unlawful::of("columns", format!("column {place} is there before")));
        }
    }
    let subscribes = !options.lists.is_empty() && options.mode != ImportMode::Unsubscribe;
    match &options.declaration {
        None if subscribes => Err(Unlawful::of("declaration", "did these persons agree?")),
        Some(declaration) => lawful_declaration(declaration),
        None => Ok(()),
    }
}

fn lawful_declaration(declaration: &Declaration) -> Result<(), Unlawful> {
    if !declaration.agreed {
        let why = "only persons who asked for this mail may be subscribed";
        return Err(Unlawful::of("declaration.agreed", why));
    }
    let is_text = |text: &str| text.len() <= WORDING_BYTES_MAX && !text.contains('\0');
    if declaration.source.trim().is_empty() || !is_text(&declaration.source) {
        return Err(Unlawful::of("declaration.source", "must be 1 to 2000 octets"));
    }
    if !is_text(&declaration.wording) {
        return Err(Unlawful::of("declaration.wording", "must be at most 2000 octets"));
    }
    Ok(())
}

/// The fields that are to be made, each with a column of its own.
fn new_fields(
    schema: &Schema,
    organization: OrganizationId,
    targets: &[Target],
) -> Result<Vec<Field>, Unlawful> {
    let mut schema = schema.clone();
    let mut new = Vec::new();
    for target in targets {
        let Target::NewField { name, kind, choices } = target else { continue };
        let (name, choices) = (name.clone(), choices.clone());
        let field = NewField { name, label: None, kind: *kind, choices, encrypted: false };
        let field = fields::made(&schema, organization, field)
            .map_err(|unlawful| Unlawful::of("columns", unlawful.to_string()))?;
        schema.fields.push(field.clone());
        new.push(field);
    }
    Ok(new)
}
