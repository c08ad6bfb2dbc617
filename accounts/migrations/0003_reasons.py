from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_forget_raw_tokens")]

    operations = [
        migrations.AlterField(
            model_name="logoutevent",
            name="reason",
            field=models.CharField(
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
                    ("compromised", "account compromised"),
                    ("administrative", "ended by an administrator"),
                ],
                max_length=32,
                verbose_name="reason",
            ),
        ),
    ]
