"""Keep the indexes that a query needs, and no more.

On PostgreSQL none of it keeps anybody waiting, and so it cannot be undone as a whole: if it was
stopped, drop the invalid index that it was building, if there is one, and run it again.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import migrations, models

from accounts.models.indexes import TimeIndex

# Any: Django's own arguments.


class AddIndex(migrations.AddIndex):
    """Add an index while others write."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            model = to_state.apps.get_model(app_label, self.model_name)
            schema_editor.add_index(model, self.index, concurrently=True)


class RemoveIndex(migrations.RemoveIndex):
    """Remove an index while others write."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            model = from_state.models[app_label, self.model_name_lower]
            index = model.get_index_by_name(self.name)
            model = from_state.apps.get_model(app_label, self.model_name)
            schema_editor.remove_index(model, index, concurrently=True)


class DropColumnsIndex(migrations.AlterField):
    """Take the index of a column away, while others write.

    Django's own also makes a foreign key anew, which checks all the rows again.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            model = from_state.apps.get_model(app_label, self.model_name)
            _drop_indexes(schema_editor, model, self.name)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        super().database_forwards(app_label, schema_editor, from_state, to_state)


def _drop_indexes(schema_editor: Any, model: Any, name: str) -> None:
    """Drop what Django made for the one column; ``LIKE`` has another one of its own."""
    table, column = model._meta.db_table, model._meta.get_field(name).column
    with schema_editor.connection.cursor() as cursor:
        found = schema_editor.connection.introspection.get_constraints(cursor, table)
    for index, known in found.items():
        if (
            known["index"]
            and not known["unique"]
            and known["columns"] == [column]
            and index.startswith(f"{table}_{column}_")
        ):
            schema_editor.execute(f"DROP INDEX CONCURRENTLY {schema_editor.quote_name(index)}")


def drop_like_indexes(apps: Any, schema_editor: Any) -> None:
    """Drop what Django adds to the unique index of a text: nobody looks for part of a key."""
    if schema_editor.connection.vendor == "postgresql":
        _drop_indexes(schema_editor, apps.get_model("accounts", "Session"), "session_key")
        _drop_indexes(schema_editor, apps.get_model("accounts", "Counter"), "key")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("accounts", "0006_guard"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # The new ones first: no query is without its index in between.
        AddIndex(
            model_name="logoutevent",
            index=TimeIndex(
                autosummarize=True, fields=["occurred_at"], name="accounts_event_occurred_at"
            ),
        ),
        AddIndex(
            model_name="logoutevent",
            index=models.Index(
                fields=["username"], name="accounts_event_user", opclasses=["varchar_pattern_ops"]
            ),
        ),
        AddIndex(
            model_name="logoutevent",
            index=models.Index(
                condition=models.Q(("actor__isnull", False)),
                fields=["actor"],
                name="accounts_event_actor",
            ),
        ),
        AddIndex(
            model_name="session",
            index=models.Index(
                condition=models.Q(("user__isnull", False)),
                fields=["authenticated_at"],
                name="accounts_session_logged_in",
            ),
        ),
        AddIndex(
            model_name="session",
            index=models.Index(
                condition=models.Q(("user__isnull", False)),
                fields=["ip_address"],
                name="accounts_session_ip",
            ),
        ),
        RemoveIndex(model_name="logoutevent", name="accounts_event_time"),
        DropColumnsIndex(
            model_name="logoutevent",
            name="actor",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="actor",
            ),
        ),
        DropColumnsIndex(
            model_name="logoutevent",
            name="username",
            field=models.CharField(max_length=254, verbose_name="username"),
        ),
        DropColumnsIndex(
            model_name="session",
            name="expire_date",
            field=models.DateTimeField(verbose_name="expire date"),
        ),
        migrations.RunPython(drop_like_indexes, migrations.RunPython.noop),
    ]
