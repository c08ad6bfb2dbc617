"""SimpleJWT's table without the raw tokens that it has kept until now.

By itself, for it alone needs that table: whoever migrates SimpleJWT's app back takes this back, and
neither the logins nor the record.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations


def forget_raw_tokens(apps: Any, schema_editor: Any) -> None:  # Any: Django's own arguments
    outstanding = apps.get_model("token_blacklist", "OutstandingToken")
    outstanding.objects.using(schema_editor.connection.alias).exclude(token="").update(token="")


class Migration(migrations.Migration):
    dependencies = [
        ("drf_logout", "0002_postgresql"),
        ("token_blacklist", "0013_alter_blacklistedtoken_options_and_more"),
    ]

    operations = [
        # There is no way back, and nothing that needs one: SimpleJWT never reads the column.
        migrations.RunPython(forget_raw_tokens, migrations.RunPython.noop, elidable=True)
    ]
