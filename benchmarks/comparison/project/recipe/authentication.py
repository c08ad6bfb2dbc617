"""Each request asks the blacklist."""

from __future__ import annotations

from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import Token


class BlacklistAuthentication(JWTAuthentication):
    """Asks the blacklist for the access token."""

    def get_validated_token(self, raw_token: bytes) -> Token:
        """Refuse a token that is on the list."""
        token = super().get_validated_token(raw_token)
        jti = token[api_settings.JTI_CLAIM]
        if BlacklistedToken.objects.filter(token__jti=jti).exists():
            raise InvalidToken("Token is blacklisted")
        return token
