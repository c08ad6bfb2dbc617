"""Key pairs: what makes one, its public half, and a check of those that are set.

Settings may import it: nothing here reads them before it is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import jwt
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004

# cryptography is imported where it is used: whoever signs by HMAC does without it.

ALGORITHMS: Final = ("ES256", "EdDSA", "RS256")


def create(algorithm: str) -> str:
    """Return a new private key for one of ``ALGORITHMS``, as PEM (PKCS #8)."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    if algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
    elif algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(public_exponent=65_537, key_size=3_072)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode()


def public_key(private_key: str) -> str:
    """Return the public half of a private key; both are PEM. Raises ``ValueError``."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    public = serialization.load_pem_private_key(private_key.encode(), password=None).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem.decode()


@register(Tags.security)
def check_keys(**kwargs: Any) -> Iterator[CheckMessage]:  # Any: as in accounts.checks
    """Check that the keys of a pair belong together, and that private ones are nowhere else."""
    # Models are not loaded yet when settings import this module.
    from accounts.conf import conf  # noqa: PLC0415
    from accounts.tokens import AccessToken  # noqa: PLC0415

    try:
        fallbacks = conf.signing_key_fallbacks
    except (AttributeError, ValueError):
        return  # E002 tells of it
    backend = AccessToken().token_backend
    if backend.algorithm.startswith("HS"):
        return
    if any("PRIVATE KEY" in str(key) for key in (backend.verifying_key, *fallbacks)):
        what = "A private key stands where tokens are only verified."
        hint = "SIMPLE_JWT['VERIFYING_KEY'] and SIGNING_KEY_FALLBACKS take public keys."
        yield Warning(what, hint=hint, id="drf_logout.W011")
    if backend.jwks_client:
        return
    try:
        _ = backend.public_keys
        is_pair = backend.jwk(backend.prepared_signing_key) == backend.jwk(
            backend.prepared_verifying_key
        )
    except (jwt.PyJWTError, TypeError, ValueError):
        is_pair = False
    if not is_pair:
        what = f"The keys of SIMPLE_JWT are no pair of {backend.algorithm}: no token is accepted."
        hint = (
            "Set SIGNING_KEY to the private key, VERIFYING_KEY to the public one of it, and "
            "SIGNING_KEY_FALLBACKS to further public ones; 'manage.py create_key' makes a pair."
        )
        yield Warning(what, hint=hint, id="drf_logout.W012")
