//! The hosts that links in mail of organizations lead to.
//!
//! Owns:       the table `public_hosts`.
//! Promises:   a host is one organization's.
//! Knows not:  links, certificates.

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::Statement;
use super::error::Result;
use super::host_certificates::TRY_CERTIFICATE;
use super::{Store, collect};

pub static HOSTS: Statement =
    Statement::new("SELECT organization, host FROM public_hosts ORDER BY organization");
pub static SET_HOST: Statement = Statement::new(
    "INSERT INTO public_hosts (organization, host, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT (organization) DO UPDATE SET host = excluded.host, \
     created_at = excluded.created_at",
);
pub static REMOVE_HOST: Statement =
    Statement::new("DELETE FROM public_hosts WHERE organization = $1");

#[cfg(test)]
pub static ALL: &[&Statement] = &[&HOSTS, &SET_HOST, &REMOVE_HOST];

impl Store {
    pub async fn public_hosts(&self) -> Result<Vec<(OrganizationId, Domain)>> {
        collect(self.read(&HOSTS, vec![]).await?, |row| {
            Ok((OrganizationId(row.int(0)?), row.parsed(1)?))
        })
    }

    /// `Duplicate("public_hosts_host")` when it is another's. None: the installation's again. Its
    /// certificate is asked for at once, even where the last try has failed.
    pub async fn set_public_host(
        &self,
        organization: OrganizationId,
        host: Option<&Domain>,
        at: Timestamp,
    ) -> Result<()> {
        let writes = match host {
            Some(host) => {
                let values = vec![organization.0.into(), host.as_str().into(), at.0.into()];
                let again = RowWrite::new(&TRY_CERTIFICATE, vec![host.as_str().into()]);
                vec![RowWrite::new(&SET_HOST, values), again]
            }
            None => vec![RowWrite::new(&REMOVE_HOST, vec![organization.0.into()])],
        };
        self.write(writes).await?;
        Ok(())
    }
}
