-- What mail of a stream, or of a sending domain, tells of its readers; NULL: it is not said here.
ALTER TABLE streams ADD COLUMN tracking TEXT;
ALTER TABLE domains ADD COLUMN tracking TEXT;

-- As it was decided when the mail was accepted, so that each try sends the same; NULL: nothing.
ALTER TABLE messages ADD COLUMN tracking TEXT;
