-- A market or stop order that was approved as a limit order at the collar says so.

ALTER TABLE decisions ADD COLUMN is_converted BOOLEAN NOT NULL DEFAULT FALSE;
