//! Who may do what: permissions, and the roles that hold them.
//!
//! A credential holds permissions by name (its scopes); a user holds those of his role.

use serde::{Deserialize, Serialize};

use super::ids::OrganizationId;
use super::state::words;

words! {
    /// What may be done within one organization; `installation` is above all of them.
    Permission {
        /// Submit mail.
        Send = "send",
        /// Read messages, deliveries, events.
        MessagesRead = "messages_read",
        /// Hold, release, retry, cancel, reroute and resend mail.
        MessagesSteer = "messages_steer",
        /// Read sending domains, their keys and checks.
        DomainsRead = "domains_read",
        DomainsWrite = "domains_write",
        CredentialsRead = "credentials_read",
        CredentialsWrite = "credentials_write",
        /// Read limits, sources, operators, warm-up and classification as they concern one's mail.
        DeliveryRead = "delivery_read",
        DeliveryWrite = "delivery_write",
        SuppressionsRead = "suppressions_read",
        SuppressionsWrite = "suppressions_write",
        ContactsRead = "contacts_read",
        ContactsWrite = "contacts_write",
        /// See and export the values of encrypted fields.
        ContactsReveal = "contacts_reveal",
        CampaignsRead = "campaigns_read",
        CampaignsWrite = "campaigns_write",
        WebhooksRead = "webhooks_read",
        WebhooksWrite = "webhooks_write",
        PeopleRead = "people_read",
        PeopleWrite = "people_write",
        /// Read the organization, its streams and limits.
        SettingsRead = "settings_read",
        SettingsWrite = "settings_write",
        AuditRead = "audit_read",
        /// What concerns all organizations: the operator and installation admins.
        Installation = "installation",
    }
}

words! {
    /// What a user is in an organization.
    Role {
        Owner = "owner",
        Admin = "admin",
        Deliverability = "deliverability",
        Marketer = "marketer",
        Developer = "developer",
        ReadOnly = "read_only",
    }
}

impl Permission {
    /// May be a scope of a credential. The secret of an application must not be enough to make
    /// further people or credentials, nor to read who did what.
    pub const fn is_for_credentials(self) -> bool {
        !matches!(
            self,
            Permission::Installation
                | Permission::PeopleWrite
                | Permission::CredentialsWrite
                | Permission::AuditRead
        )
    }

    const fn is_reading(self) -> bool {
        matches!(
            self,
            Permission::MessagesRead
                | Permission::DomainsRead
                | Permission::CredentialsRead
                | Permission::DeliveryRead
                | Permission::SuppressionsRead
                | Permission::ContactsRead
                | Permission::CampaignsRead
                | Permission::WebhooksRead
                | Permission::PeopleRead
                | Permission::SettingsRead
        )
    }
}

impl Role {
    pub const fn permits(self, permission: Permission) -> bool {
        use Permission::*;
        if permission.is_reading() {
            return true;
        }
        match self {
            Role::Owner | Role::Admin => !matches!(permission, Installation),
            Role::Deliverability => matches!(
                permission,
                MessagesSteer | DomainsWrite | DeliveryWrite | SuppressionsWrite | AuditRead
            ),
            Role::Marketer => {
                matches!(permission, ContactsWrite | CampaignsWrite | SuppressionsWrite)
            }
            Role::Developer => matches!(
                permission,
                Send | MessagesSteer | DomainsWrite | CredentialsWrite | WebhooksWrite
            ),
            Role::ReadOnly => false,
        }
    }
}

/// Whose rows may be seen or changed: those of one organization, or all. Only who has checked a
/// caller makes one; what reads rows of tenants takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope(Option<OrganizationId>);

impl Scope {
    pub const INSTALLATION: Scope = Scope(None);

    pub const fn of(organization: OrganizationId) -> Scope {
        Scope(Some(organization))
    }

    /// Nobody's rows: of who is signed in and belongs nowhere, or has not said where.
    pub const NOTHING: Scope = Scope(Some(OrganizationId(0)));

    /// None: not confined.
    pub const fn organization(self) -> Option<OrganizationId> {
        self.0
    }

    pub fn covers(self, organization: OrganizationId) -> bool {
        self.0.is_none_or(|own| own == organization)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_reaches_beyond_its_organization() {
        for role in Role::ALL {
            assert!(!role.permits(Permission::Installation), "{role}");
            assert!(role.permits(Permission::MessagesRead), "{role}");
        }
    }

    #[test]
    fn who_only_reads_changes_nothing() {
        for permission in Permission::ALL.iter().filter(|one| !one.is_reading()) {
            assert!(!Role::ReadOnly.permits(*permission), "{permission}");
        }
    }

    #[test]
    fn only_owners_and_admins_decide_about_people() {
        let may = |role: &&Role| role.permits(Permission::PeopleWrite);
        let may: Vec<_> = Role::ALL.iter().filter(may).collect();
        assert_eq!(may, [&Role::Owner, &Role::Admin]);
    }

    #[test]
    fn a_scope_covers_its_own_organization_or_all() {
        let own = Scope::of(OrganizationId(2));
        assert!(own.covers(OrganizationId(2)) && !own.covers(OrganizationId(3)));
        assert!(Scope::INSTALLATION.covers(OrganizationId(3)));
    }
}
