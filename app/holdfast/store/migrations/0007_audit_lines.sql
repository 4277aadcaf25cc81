-- What PostgreSQL remembers of STATE/audit/trail.jsonl: the hash of each line, so that a trail that was forged or cut
-- together with its head differs from something.

CREATE TABLE audit_lines (
    seq BIGINT PRIMARY KEY,
    ts_ns BIGINT NOT NULL,
    hash CHAR(64) NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE TRIGGER audit_lines_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
