-- A rule about pools names a recipient as it names a sender: by address or by domain.
ALTER TABLE pool_rules RENAME COLUMN recipient_domain TO recipient;
