-- Executions and the audit trail only ever grow, whoever connects; readers are members of one role.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER trades_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON trades
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER fills_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON fills
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER operator_actions_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Roles belong to the cluster: a migrator without CREATEROLE leaves the reader role to provisioning.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_reader')
        AND EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolcreaterole OR rolsuper)) THEN
        BEGIN
            CREATE ROLE holdfast_reader NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_reader') THEN
        GRANT USAGE ON SCHEMA public TO holdfast_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO holdfast_reader;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO holdfast_reader;
    END IF;
END
$$;
