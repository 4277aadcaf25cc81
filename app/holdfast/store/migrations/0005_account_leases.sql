-- Who may send to the venue for an account. A holder is known by its token, which only rises; renewals make each state of
-- a row distinct, so that a challenger sees whether it lives. Times are told in changed_at only for readers.

CREATE TABLE account_leases (
    account TEXT PRIMARY KEY,
    token BIGINT NOT NULL,
    holder TEXT NOT NULL,
    renewals BIGINT NOT NULL,
    lease_ns BIGINT NOT NULL CHECK (lease_ns > 0),
    margin_ns BIGINT NOT NULL CHECK (margin_ns > 0),
    is_released BOOLEAN NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL
);

CREATE FUNCTION refuse_lower_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'token of account % would fall from % to %', OLD.account, OLD.token, NEW.token
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER account_leases_token_rises BEFORE UPDATE ON account_leases
    FOR EACH ROW WHEN (NEW.token < OLD.token) EXECUTE FUNCTION refuse_lower_token();
CREATE TRIGGER account_leases_are_kept BEFORE DELETE OR TRUNCATE ON account_leases
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
