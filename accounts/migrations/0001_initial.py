"""The tables, and SimpleJWT's without the raw tokens that it has kept until now."""

from __future__ import annotations

import uuid
from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import accounts.models.event
import accounts.models.indexes


def forget_raw_tokens(apps: Any, schema_editor: Any) -> None:  # Any: Django's own arguments
    try:
        # Not by a dependency: who migrates SimpleJWT's app back would lose the logins with it.
        outstanding = apps.get_model("token_blacklist", "OutstandingToken")
    except LookupError:
        return  # its table is still to be made
    outstanding.objects.using(schema_editor.connection.alias).exclude(token="").update(token="")


class Migration(migrations.Migration):
    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                ("number", models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ("oldest", models.PositiveBigIntegerField()),
                ("after", models.BigIntegerField()),
                ("last", models.BigIntegerField()),
                ("entries", models.PositiveIntegerField()),
                ("latest", models.DateTimeField()),
                ("contents", models.CharField(max_length=64)),
                ("previous", models.CharField(max_length=64)),
                ("nonce", models.CharField(max_length=64)),
                ("digest", models.CharField(max_length=64)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="Client",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "client_id",
                    models.SlugField(db_index=False, max_length=100, verbose_name="client id"),
                ),
                ("secret", models.CharField(editable=False, max_length=64)),
                ("previous_secret", models.CharField(blank=True, editable=False, max_length=64)),
                (
                    "may_introspect",
                    models.BooleanField(default=True, verbose_name="may introspect"),
                ),
                ("may_revoke", models.BooleanField(default=False, verbose_name="may revoke")),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                (
                    "last_used_at",
                    models.DateTimeField(editable=False, null=True, verbose_name="last used"),
                ),
            ],
            options={
                "verbose_name": "registered client",
                "verbose_name_plural": "registered clients",
                "constraints": [
                    models.UniqueConstraint(
                        fields=["client_id"], name="drf_logout_client_id_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("key", models.CharField(max_length=250, primary_key=True, serialize=False)),
                ("value", models.BigIntegerField()),
                ("expires", models.BigIntegerField(db_index=True, null=True)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="TokenVersion",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="token_version",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
                ("version", models.PositiveBigIntegerField(default=0, verbose_name="version")),
            ],
            options={"verbose_name": "token version", "verbose_name_plural": "token versions"},
        ),
        migrations.CreateModel(
            name="LogoutEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "occurred_at",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="time"),
                ),
                ("username", models.CharField(max_length=254, verbose_name="username")),
                (
                    "actor_name",
                    models.CharField(blank=True, max_length=254, verbose_name="actor's name"),
                ),
                (
                    "initiator",
                    models.CharField(
                        choices=[
                            ("user", "user"),
                            ("admin", "administrator"),
                            ("policy", "policy"),
                            ("system", "system"),
                        ],
                        max_length=6,
                        verbose_name="initiator",
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("logout", "logged out"),
                            ("expired", "expired"),
                            ("idle_timeout", "unused for too long"),
                            ("absolute_timeout", "lasted too long"),
                            ("max_sessions", "too many logins"),
                            ("discarded", "browser session discarded"),
                            ("password_changed", "password changed"),
                            ("user_deactivated", "user deactivated"),
                            ("user_deleted", "user deleted"),
                            ("token_reused", "refresh token used again"),
                            ("revoked", "token revoked by other code"),
                            ("compromised", "account compromised"),
                            ("administrative", "ended by an administrator"),
                        ],
                        max_length=32,
                        verbose_name="reason",
                    ),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("session", "this login"),
                            ("others", "other logins"),
                            ("refresh_tokens", "refresh tokens"),
                            ("global", "all logins"),
                        ],
                        max_length=14,
                        verbose_name="scope",
                    ),
                ),
                (
                    "session_id",
                    models.UUIDField(db_index=True, null=True, verbose_name="session id"),
                ),
                (
                    "token_jti",
                    models.CharField(blank=True, max_length=255, verbose_name="token id"),
                ),
                ("sessions_ended", models.PositiveIntegerField(verbose_name="sessions ended")),
                ("tokens_revoked", models.PositiveIntegerField(verbose_name="tokens revoked")),
                (
                    "ip_address",
                    models.GenericIPAddressField(
                        db_index=True, null=True, verbose_name="IP address"
                    ),
                ),
                (
                    "user_agent",
                    models.CharField(blank=True, max_length=512, verbose_name="user agent"),
                ),
                (
                    "request_id",
                    models.CharField(blank=True, max_length=64, verbose_name="request id"),
                ),
                (
                    "actor",
                    accounts.models.event.AccountKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="actor",
                    ),
                ),
                (
                    "user",
                    accounts.models.event.AccountKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "logout event",
                "verbose_name_plural": "logout events",
                "indexes": [
                    accounts.models.indexes.TimeIndex(
                        fields=["occurred_at"], name="drf_logout_event_occurred_at"
                    ),
                    models.Index(
                        fields=["username"],
                        name="drf_logout_event_user",
                        opclasses=["varchar_pattern_ops"],
                    ),
                    models.Index(
                        condition=models.Q(("actor_name__gt", "")),
                        fields=["actor_name"],
                        name="drf_logout_event_actor",
                        opclasses=["varchar_pattern_ops"],
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Session",
            fields=[
                ("session_data", models.TextField(verbose_name="session data")),
                (
                    "session_key",
                    models.CharField(
                        max_length=64, primary_key=True, serialize=False, verbose_name="session key"
                    ),
                ),
                ("expire_date", models.DateTimeField(verbose_name="expire date")),
                (
                    "sid",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, unique=True, verbose_name="session id"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("browser", "browser"), ("token", "token")],
                        default="browser",
                        max_length=7,
                        verbose_name="kind",
                    ),
                ),
                ("auth_hash", models.CharField(blank=True, editable=False, max_length=128)),
                (
                    "authenticated_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="logged in at"),
                ),
                (
                    "last_seen_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last seen at"),
                ),
                (
                    "reauthenticated_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="re-authenticated at"),
                ),
                (
                    "ip_address",
                    models.GenericIPAddressField(blank=True, null=True, verbose_name="IP address"),
                ),
                (
                    "user_agent",
                    models.CharField(blank=True, max_length=512, verbose_name="user agent"),
                ),
                ("refresh_jti", models.CharField(blank=True, editable=False, max_length=255)),
                (
                    "previous_refresh_jti",
                    models.CharField(blank=True, editable=False, max_length=255),
                ),
                ("rotated_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
                "abstract": False,
                "indexes": [
                    models.Index(
                        condition=models.Q(("user__isnull", False)),
                        fields=["authenticated_at"],
                        name="drf_logout_session_logged_in",
                    ),
                    models.Index(
                        condition=models.Q(("user__isnull", False)),
                        fields=["ip_address"],
                        name="drf_logout_session_ip",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind", "browser"), ("user__isnull", False), _connector="OR"
                        ),
                        name="drf_logout_session_token_has_user",
                    )
                ],
            },
        ),
        # There is no way back, and nothing that needs one: SimpleJWT never reads the column.
        migrations.RunPython(forget_raw_tokens, migrations.RunPython.noop, elidable=True),
    ]
