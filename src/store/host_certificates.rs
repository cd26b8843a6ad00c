//! How the certificates of organizations' hosts stand, and how often the authority was asked.
//!
//! Owns:       the tables `host_certificates` and `certificate_orders`.
//! Promises:   a host has one row; an order is there before the authority hears of it, and is
//!             forgotten when it is too old to count.
//! Knows not:  certificates themselves and their keys, which are files.

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::changes::RowWrite;
use super::dialect::Statement;
use super::error::Result;
use super::{Store, collect};

/// As its organization sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostCertificate {
    pub origin: CertificateOrigin,
    /// Of the certificate that is in use; null where there is none.
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    /// Of asking the authority, since it gave one last.
    pub failures: u32,
    pub last_error: Option<String>,
    pub tried_at: Option<Timestamp>,
    /// Before it the authority is not asked again; null: it is asked within a minute, or never
    /// where it is not asked at all.
    pub again_at: Option<Timestamp>,
}

pub static CERTIFICATES: Statement = Statement::new(
    "SELECT host, origin, valid_from, valid_until, failures, last_error, tried_at, again_at \
     FROM host_certificates ORDER BY host",
);
pub static CERTIFICATE: Statement = Statement::new(
    "SELECT host, origin, valid_from, valid_until, failures, last_error, tried_at, again_at \
     FROM host_certificates WHERE host = $1 AND organization = $2",
);
pub static SET_CERTIFICATE: Statement = Statement::new(
    "INSERT INTO host_certificates (host, organization, origin, valid_from, valid_until, failures, \
     last_error, tried_at, again_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
     ON CONFLICT (host) DO UPDATE SET organization = excluded.organization, \
     origin = excluded.origin, valid_from = excluded.valid_from, \
     valid_until = excluded.valid_until, failures = excluded.failures, \
     last_error = excluded.last_error, tried_at = excluded.tried_at, again_at = excluded.again_at",
);
/// What leads here no more.
pub static FORGET_CERTIFICATES: Statement = Statement::new(
    "DELETE FROM host_certificates WHERE host NOT IN (SELECT host FROM public_hosts)",
);
pub static TRY_CERTIFICATE: Statement =
    Statement::new("UPDATE host_certificates SET again_at = NULL WHERE host = $1");
pub static ORDERED: Statement = Statement::new(
    "SELECT organization, COUNT(*) FROM certificate_orders WHERE ordered_at > $1 \
     GROUP BY organization",
);
pub static NOTE_ORDER: Statement = Statement::new(
    "INSERT INTO certificate_orders (host, ordered_at, organization) VALUES ($1, $2, $3) \
     ON CONFLICT (host, ordered_at) DO NOTHING",
);
pub static FORGET_ORDERS: Statement =
    Statement::new("DELETE FROM certificate_orders WHERE ordered_at <= $1");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &CERTIFICATES,
    &CERTIFICATE,
    &SET_CERTIFICATE,
    &FORGET_CERTIFICATES,
    &TRY_CERTIFICATE,
    &ORDERED,
    &NOTE_ORDER,
    &FORGET_ORDERS,
];

fn certificate(row: &super::Row) -> Result<(Domain, HostCertificate)> {
    let moment = |position| Ok::<_, super::StoreError>(row.maybe_int(position)?.map(Timestamp));
    let certificate = HostCertificate {
        origin: row.parsed(1)?,
        valid_from: moment(2)?,
        valid_until: moment(3)?,
        failures: u32::try_from(row.int(4)?).unwrap_or(u32::MAX),
        last_error: row.maybe_text(5)?,
        tried_at: moment(6)?,
        again_at: moment(7)?,
    };
    Ok((row.parsed(0)?, certificate))
}

impl Store {
    pub async fn host_certificates(&self) -> Result<Vec<(Domain, HostCertificate)>> {
        collect(self.read(&CERTIFICATES, vec![]).await?, certificate)
    }

    /// None while nobody has looked yet.
    pub async fn host_certificate(
        &self,
        organization: OrganizationId,
        host: &Domain,
    ) -> Result<Option<HostCertificate>> {
        let values = vec![host.as_str().into(), organization.0.into()];
        let rows = collect(self.read(&CERTIFICATE, values).await?, certificate)?;
        Ok(rows.into_iter().next().map(|(_, certificate)| certificate))
    }

    pub async fn set_host_certificate(
        &self,
        organization: OrganizationId,
        host: &Domain,
        certificate: &HostCertificate,
    ) -> Result<()> {
        let moment = |at: Option<Timestamp>| at.map(|at| at.0).into();
        let values = vec![
            host.as_str().into(),
            organization.0.into(),
            certificate.origin.word().into(),
            moment(certificate.valid_from),
            moment(certificate.valid_until),
            i64::from(certificate.failures).into(),
            certificate.last_error.clone().into(),
            moment(certificate.tried_at),
            moment(certificate.again_at),
        ];
        self.write(vec![RowWrite::new(&SET_CERTIFICATE, values)]).await?;
        Ok(())
    }

    /// Rows of hosts that are no organization's any more.
    pub async fn forget_host_certificates(&self) -> Result<()> {
        self.write(vec![RowWrite::new(&FORGET_CERTIFICATES, vec![])]).await?;
        Ok(())
    }

    /// Orders behind `after`, by organization.
    pub async fn certificate_orders(&self, after: Timestamp) -> Result<Vec<(OrganizationId, u64)>> {
        collect(self.read(&ORDERED, vec![after.0.into()]).await?, |row| {
            Ok((OrganizationId(row.int(0)?), u64::try_from(row.int(1)?).unwrap_or(0)))
        })
    }

    /// Older ones than `kept_from` count no more.
    pub async fn note_certificate_order(
        &self,
        (organization, host): (OrganizationId, &Domain),
        at: Timestamp,
        kept_from: Timestamp,
    ) -> Result<()> {
        let order = vec![host.as_str().into(), at.0.into(), organization.0.into()];
        // A write that changes nothing ends those behind it.
        self.write(vec![
            RowWrite::new(&NOTE_ORDER, order),
            RowWrite::new(&FORGET_ORDERS, vec![kept_from.0.into()]),
        ])
        .await?;
        Ok(())
    }
}
