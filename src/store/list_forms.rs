//! What public forms of lists ask.
//!
//! Owns:       the table `list_forms`.
//! Promises:   a form that was changed has another version; one that was not has the same.
//! Knows not:  pages, and whose list it is.

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::Statement;
use super::error::{Result, StoreError};
use super::{Store, collect};

/// What the public form of a list asks beside the address, and where the browser goes on to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListForm {
    pub asks_name: bool,
    /// Names of fields, in the order of the form: none that is encrypted, and none of JSON.
    #[schema(max_items = 20)]
    pub fields: Vec<String>,
    /// What one agrees to, shown above the button and kept with the consent.
    pub wording: String,
    /// Where the browser goes on to while the mail is on its way that asks for confirmation.
    pub asked_url: Option<String>,
    /// Where it goes on to when the subscription is confirmed.
    pub confirmed_url: Option<String>,
}

pub static LIST_FORM: Statement =
    Statement::new("SELECT version, form FROM list_forms WHERE list = $1");
pub static SET_LIST_FORM: Statement = Statement::new(
    "INSERT INTO list_forms (list, version, form, updated_at) VALUES ($1, 1, $2, $3) \
     ON CONFLICT (list) DO UPDATE SET version = list_forms.version + 1, form = excluded.form, \
     updated_at = excluded.updated_at WHERE list_forms.form <> excluded.form",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&LIST_FORM, &SET_LIST_FORM];

impl Store {
    /// With its version; 0 while nobody has changed it.
    pub async fn list_form(&self, list: ListId) -> Result<(ListForm, u64)> {
        let forms = collect(self.read(&LIST_FORM, vec![list.0.into()]).await?, |row| {
            let form = serde_json::from_str(&row.text(1)?).map_err(StoreError::broken_row)?;
            Ok((form, row.unsigned(0)?))
        })?;
        Ok(forms.into_iter().next().unwrap_or_default())
    }

    pub async fn set_list_form(&self, list: ListId, form: &ListForm, at: Timestamp) -> Result<()> {
        let form = serde_json::json!(form).to_string();
        let values = vec![list.0.into(), form.into(), at.0.into()];
        self.write(vec![RowWrite::new(&SET_LIST_FORM, values)]).await?;
        Ok(())
    }
}
