-- What a stream does with mail for suppressed addresses, and with bounces that come back.
CREATE TABLE stream_policies (
    stream BIGINT NOT NULL PRIMARY KEY REFERENCES streams (id),
    suppressed TEXT NOT NULL CHECK (suppressed IN ('refuse', 'report', 'hold')),
    bounces TEXT NOT NULL CHECK (bounces IN ('asked', 'always'))
);
