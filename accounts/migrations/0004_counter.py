"""Make the table of ``accounts.counters``."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def set_unlogged(apps: Any, schema_editor: Any) -> None:
    """Spare each count the wait for the disk.

    What a crash of the server costs is the counts of the running windows, as a restart of Redis
    does. A standby has the table, empty.
    """
    if schema_editor.connection.vendor == "postgresql":
        table = apps.get_model("accounts", "Counter")._meta.db_table
        schema_editor.execute(f"ALTER TABLE {schema_editor.quote_name(table)} SET UNLOGGED")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_reasons")]

    operations = [
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("key", models.CharField(max_length=250, primary_key=True, serialize=False)),
                ("value", models.BigIntegerField()),
                ("expires", models.BigIntegerField(db_index=True, null=True)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.RunPython(set_unlogged, migrations.RunPython.noop),
    ]
