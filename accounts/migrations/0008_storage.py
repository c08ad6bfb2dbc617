"""Tell PostgreSQL which tables change a lot, and how.

It takes hold of new pages only, and keeps nobody waiting.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

PARAMETERS = {
    # Each use of a login writes ``last_seen_at``, and each refresh five columns. With room in its
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
    # A few rows, each written by every logout that takes its chain: some to a page, so that
    # these wait less for each other, and dead versions go before they are in the way.
    "AuditChain": {
        "fillfactor": "10",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "500",
    },
    # As many rows as there are windows, each written by every request that it counts.
    "Counter": {
        "fillfactor": "50",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "1000",
    },
}


def set_parameters(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for model, parameters in PARAMETERS.items():
            values = ", ".join(f"{name} = {value}" for name, value in parameters.items())
            schema_editor.execute(
                f"ALTER TABLE {_table(apps, schema_editor, model)} SET ({values})"
            )


def reset_parameters(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for model, parameters in PARAMETERS.items():
            names = ", ".join(parameters)
            schema_editor.execute(
                f"ALTER TABLE {_table(apps, schema_editor, model)} RESET ({names})"
            )


def _table(apps: Any, schema_editor: Any, model: str) -> str:
    name: str = schema_editor.quote_name(apps.get_model("accounts", model)._meta.db_table)
    return name


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_indexes")]

    operations = [migrations.RunPython(set_parameters, reset_parameters)]
