"""What only PostgreSQL has: a guard of the record, and tables that know how they are used.

The guard lets PostgreSQL itself refuse what would change the record, and an entry that is not of
this moment; other databases have Django's guard. It keeps out mistakes, and code that goes past the
model. It is no fence against an attacker: the owner of the table can drop the triggers, and any
role can say that it does maintenance. To keep one out, let the application connect as a role that
does not own the table and has neither DELETE nor TRUNCATE on it (and prune as another), and run
``manage.py verify_audit``.

TRUNCATE is not guarded: that is how ``flush`` empties the tables after a test, of any host.

Whoever says ``SET drf_logout.maintenance = 'on'`` may delete entries and insert any, but change
none. Pruning does, and so does who puts rows back (``pg_restore --data-only``, ``loaddata``) or
tests at another time than that of the server. A whole dump makes its triggers after its rows, and
replication fires none.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

# Any: Django's own arguments.

GUARD = """
CREATE FUNCTION drf_logout_guard_logoutevent() RETURNS trigger LANGUAGE plpgsql
-- A role that may INSERT needs no right to the sequence of an identity, but to ask for its value.
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'UPDATE' AND current_setting('drf_logout.maintenance', true) = 'on' THEN
        RETURN COALESCE(NEW, OLD);
    ELSIF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION 'The audit record is append-only: % of entry % in % is refused.',
            TG_OP, OLD.id, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation',
            HINT = 'Record another event instead. Old ones are removed by '
                '"manage.py prune_accounts", when ACCOUNTS["AUDIT_RETENTION"] is set.';
    END IF;
    BEGIN
        -- Another session may have taken the next id in between.
        IF NEW.id = currval(pg_get_serial_sequence(TG_RELID::regclass::text, 'id'))
            AND NEW.occurred_at BETWEEN clock_timestamp() - interval '1 hour'
                AND clock_timestamp() + interval '1 hour'
        THEN
            RETURN NEW;
        END IF;
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        NULL; -- This session has taken no id at all.
    END;
    RAISE EXCEPTION
        'The audit record takes what happens now: INSERT of entry % of % in % is refused.',
        NEW.id, NEW.occurred_at, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
        HINT = 'Leave the id to the database, and set the clock. Tests at another time, and who '
            'restores a backup, may SET drf_logout.maintenance = ''on''.';
END
$$;
CREATE TRIGGER drf_logout_guard_logoutevent BEFORE UPDATE OR DELETE ON drf_logout_logoutevent
FOR EACH ROW EXECUTE FUNCTION drf_logout_guard_logoutevent();
-- A good entry is told without the function, which costs the first logout of a connection 0.5 ms:
-- its id is the one that the sequence has just given out. The hour is for a server whose clock is
-- off, which has to be able to log people out.
CREATE TRIGGER drf_logout_guard_insert BEFORE INSERT ON drf_logout_logoutevent FOR EACH ROW
WHEN (
    CASE WHEN has_sequence_privilege('drf_logout_logoutevent_id_seq'::regclass, 'SELECT, USAGE')
        THEN NEW.id = pg_sequence_last_value('drf_logout_logoutevent_id_seq')
            AND NEW.occurred_at BETWEEN clock_timestamp() - interval '1 hour'
                AND clock_timestamp() + interval '1 hour'
    END IS NOT TRUE
)
EXECUTE FUNCTION drf_logout_guard_logoutevent();
"""

UNGUARD = """
DROP TRIGGER drf_logout_guard_insert ON drf_logout_logoutevent;
DROP TRIGGER drf_logout_guard_logoutevent ON drf_logout_logoutevent;
DROP FUNCTION drf_logout_guard_logoutevent();
"""

PARAMETERS = {
    # Each use of a login writes ``last_seen_at``, and each refresh some columns. With room in its
    # page for a new version of a row none of its indexes is touched (HOT). By their share of ten
    # million rows, dead ones would be left for weeks.
    "Session": {
        "fillfactor": "85",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_analyze_scale_factor": "0.02",
    },
    # Rows are added only. Vacuum is what sums up the new pages for the index on time.
    "LogoutEvent": {
        "autovacuum_vacuum_insert_scale_factor": "0.02",
        "autovacuum_analyze_scale_factor": "0.02",
    },
    # As many rows as there are windows, each written by every request that it counts.
    "Counter": {
        "fillfactor": "50",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "1000",
    },
}


def set_up(apps: Any, schema_editor: Any) -> None:
    """Guard the record, and tell PostgreSQL which tables change a lot, and how."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute(GUARD, params=None)
    for name, parameters in PARAMETERS.items():
        values = ", ".join(f"{parameter} = {value}" for parameter, value in parameters.items())
        schema_editor.execute(f"ALTER TABLE {_table(apps, schema_editor, name)} SET ({values})")
    # Each count is spared the wait for the disk. A crash of the server costs those of the running
    # windows, as a restart of Redis does.
    schema_editor.execute(f"ALTER TABLE {_table(apps, schema_editor, 'Counter')} SET UNLOGGED")
    for name, column in (("Session", "session_key"), ("Counter", "key")):
        _drop_like_index(apps, schema_editor, name, column)


def take_back(apps: Any, schema_editor: Any) -> None:
    """Take the guard away; what else there is goes with the tables."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(UNGUARD, params=None)


def _drop_like_index(apps: Any, schema_editor: Any, name: str, column: str) -> None:
    """Drop what Django adds to the unique index of a text: nobody looks for part of a key."""
    table = apps.get_model("drf_logout", name)._meta.db_table
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table)
    for index, known in found.items():
        if known["index"] and not known["unique"] and known["columns"] == [column]:
            schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(index)}")


def _table(apps: Any, schema_editor: Any, name: str) -> str:
    table: str = schema_editor.quote_name(apps.get_model("drf_logout", name)._meta.db_table)
    return table


class Migration(migrations.Migration):
    dependencies = [("drf_logout", "0001_initial")]

    operations = [migrations.RunPython(set_up, take_back)]
