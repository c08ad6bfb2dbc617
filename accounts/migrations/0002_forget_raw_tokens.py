"""Take the raw tokens out of the rows that SimpleJWT has kept until now."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def forget_raw_tokens(apps: Any, schema_editor: Any) -> None:
    outstanding = apps.get_model("token_blacklist", "OutstandingToken")
    outstanding.objects.using(schema_editor.connection.alias).exclude(token="").update(token="")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("token_blacklist", "0013_alter_blacklistedtoken_options_and_more"),
    ]

    operations = [
        # There is no way back, and nothing that needs one: SimpleJWT never reads the column.
        migrations.RunPython(forget_raw_tokens, migrations.RunPython.noop, elidable=True),
    ]
