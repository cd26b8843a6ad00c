-- Operators get their ids here; the tail is everybody without a name of his own.
INSERT INTO id_blocks (name, next) VALUES ('operator', 2);
INSERT INTO operators (id, name) VALUES (1, 'tail');
UPDATE sites SET operator = 1 WHERE id <> 0;
