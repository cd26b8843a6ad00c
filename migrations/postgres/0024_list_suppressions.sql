-- Entries may reach as far as one list: campaigns to it do not go to the address.
ALTER TABLE suppressions DROP CONSTRAINT suppressions_scope_check;
ALTER TABLE suppressions ADD CONSTRAINT suppressions_scope_check
    CHECK (scope IN ('installation', 'organization', 'stream', 'list'));
-- 0 for more than one list.
ALTER TABLE suppressions ADD COLUMN list BIGINT NOT NULL DEFAULT 0;

DROP INDEX suppressions_address;
CREATE UNIQUE INDEX suppressions_address
    ON suppressions (address_hash, scope, organization, stream, list) WHERE removed_at IS NULL;
