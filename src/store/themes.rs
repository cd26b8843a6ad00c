//! How the public pages of organizations look.
//!
//! Owns:       the table `public_themes`.
//! Promises:   an organization without a row has the usual look; a logo that was removed is none.
//! Knows not:  pages.

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::Statement;
use super::error::Result;
use super::{Store, collect};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThemeRow {
    /// As in `#0a7f5a`.
    pub color: Option<String>,
    pub logo: Option<MediaId>,
    /// Where the logo is shown.
    pub logo_key: Option<String>,
    pub footer: String,
}

pub static THEME: Statement = Statement::new(
    "SELECT t.color, m.id, m.key, t.footer FROM public_themes AS t LEFT JOIN media AS m \
     ON m.id = t.logo AND m.organization = t.organization WHERE t.organization = $1",
);
pub static SET_THEME: Statement = Statement::new(
    "INSERT INTO public_themes (organization, color, logo, footer) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (organization) DO UPDATE SET color = excluded.color, logo = excluded.logo, \
     footer = excluded.footer",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&THEME, &SET_THEME];

impl Store {
    pub async fn theme(&self, organization: OrganizationId) -> Result<ThemeRow> {
        let rows = self.read(&THEME, vec![organization.0.into()]).await?;
        let themes = collect(rows, |row| {
            Ok(ThemeRow {
                color: row.maybe_text(0)?,
                logo: row.maybe_int(1)?.map(MediaId),
                logo_key: row.maybe_text(2)?,
                footer: row.text(3)?,
            })
        })?;
        Ok(themes.into_iter().next().unwrap_or_default())
    }

    pub async fn set_theme(&self, organization: OrganizationId, theme: ThemeRow) -> Result<()> {
        let values = vec![
            organization.0.into(),
            theme.color.into(),
            theme.logo.map(|id| id.0).into(),
            theme.footer.into(),
        ];
        self.write(vec![RowWrite::new(&SET_THEME, values)]).await?;
        Ok(())
    }
}
