-- Calls in Postal's format.

ALTER TABLE webhooks DROP CONSTRAINT webhooks_format_check;
ALTER TABLE webhooks ADD CONSTRAINT webhooks_format_check
    CHECK (format IN ('postroad', 'postal'));
