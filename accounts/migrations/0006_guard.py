"""Let PostgreSQL itself refuse what would change the record; other databases have Django's guard.

It keeps out mistakes, and code that goes past the model. It is no fence against an attacker:
the owner of the table can drop the trigger, and any role can say that it is pruning. To keep one
out, let the application connect as a role that does not own the table and has neither DELETE nor
TRUNCATE on it (and prune as another), and run ``manage.py verify_audit``.

TRUNCATE is not guarded: that is how ``flush`` empties the tables after a test, of any host.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

GUARD = """
CREATE FUNCTION accounts_guard_logoutevent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unlinked accounts_logoutevent;
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- The pruning service says so, for its own transaction alone.
        IF current_setting('accounts.pruning', true) = 'on' THEN
            RETURN OLD;
        END IF;
    ELSE
        -- What Django does when a user is deleted (SET_NULL), and nothing else beside it.
        unlinked := NEW;
        unlinked.user_id := OLD.user_id;
        unlinked.actor_id := OLD.actor_id;
        IF unlinked IS NOT DISTINCT FROM OLD
            AND NEW IS DISTINCT FROM OLD
            AND (NEW.user_id IS NULL OR NEW.user_id IS NOT DISTINCT FROM OLD.user_id)
            AND (NEW.actor_id IS NULL OR NEW.actor_id IS NOT DISTINCT FROM OLD.actor_id)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'The audit record is append-only: % of entry % in % is refused.',
        TG_OP, OLD.id, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
        HINT = 'Record another event instead. Old ones are removed by "manage.py prune_accounts", '
            'when ACCOUNTS["AUDIT_RETENTION"] is set.';
END
$$;
CREATE TRIGGER accounts_guard_logoutevent BEFORE UPDATE OR DELETE ON accounts_logoutevent
FOR EACH ROW EXECUTE FUNCTION accounts_guard_logoutevent();
"""

UNGUARD = """
DROP TRIGGER accounts_guard_logoutevent ON accounts_logoutevent;
DROP FUNCTION accounts_guard_logoutevent();
"""


def guard(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(GUARD, params=None)


def unguard(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(UNGUARD, params=None)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_proofs")]

    operations = [migrations.RunPython(guard, unguard)]
