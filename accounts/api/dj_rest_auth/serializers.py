"""What dj-rest-auth's views take in."""

from __future__ import annotations

from typing import Any, Final

from dj_rest_auth import jwt_auth, serializers
from dj_rest_auth.app_settings import api_settings
from django.contrib.auth import user_logged_in
from django.contrib.auth.forms import PasswordChangeForm
from rest_framework.exceptions import ValidationError

from accounts import audit, passwords, services
from accounts.api.serializers import TokenRefreshSerializer as OurRefresh
from accounts.api.serializers import minting, refuse_foreign_form
from accounts.authentication import InvalidToken
from accounts.clients import ClientInfo
from accounts.exceptions import TokenRevoked
from accounts.models import User
from accounts.tokens import RefreshToken

REQUEST: Final = "_drf_logout_request"
"""The attribute of a user who logs in that says by what request, until the tokens are made."""

# dj-rest-auth has no types: its classes are Any.


class LoginSerializer(serializers.LoginSerializer):  # type: ignore[misc] # as above
    """For ``REST_AUTH["LOGIN_SERIALIZER"]``: passwords are tried within the limits on guessing."""

    def get_auth_user(self, username: str, email: str, password: str) -> User | None:
        """Return who this is, with the request that asks."""
        request = self.context["request"]._request
        refuse_foreign_form(request)
        names = {"email": email} if email else {"username": username or ""}
        user = passwords.log_in(request, **names, password=password)
        if user is not None:
            setattr(user, REQUEST, request)
        return user


class TokenClaimsSerializer:
    """For ``REST_AUTH["JWT_TOKEN_CLAIMS_SERIALIZER"]``: each log-in begins a login of ours.

    Its claims are those of ``SIMPLE_JWT["TOKEN_OBTAIN_SERIALIZER"]``.
    """

    @classmethod
    def get_token(cls, user: User) -> RefreshToken:
        """Log in. The device is that of who came through ``LoginSerializer``."""
        request = vars(user).pop(REQUEST, None)
        client = ClientInfo() if request is None else ClientInfo.from_request(request)
        try:
            token = services.log_in(user=user, client=client, mint=minting()).refresh
        except TokenRevoked as error:  # gone or deactivated while the password was checked
            raise InvalidToken(error) from error
        if request is not None and not api_settings.SESSION_LOGIN:
            # What Django's own login() would say, of a browser session.
            audit.take_over(request)
            audit.log(
                audit.Event.LOGIN_SUCCESS,
                action="login",
                reason="password",
                client=client,
                user_id=token.user_id,
                session_id=token.sid,
            )
            user_logged_in.send_robust(sender=type(user), request=request, user=user)
        return token


class TokenRefreshSerializer(jwt_auth.CookieTokenRefreshSerializer, OurRefresh):  # type: ignore[misc] # as above
    """A refresh, by the token in the body or in the cookie, that no race can outlive."""

    def extract_refresh_token(self) -> str:
        """Return the raw token; a number in the body is text like any other."""
        return str(super().extract_refresh_token())


class PasswordChangeSerializer(serializers.PasswordChangeSerializer):  # type: ignore[misc] # as above
    """For ``REST_AUTH["PASSWORD_CHANGE_SERIALIZER"]``: this login stays, and the others end.

    It ends as well where ``LOGOUT_ON_PASSWORD_CHANGE`` is on.
    """

    def validate_old_password(self, value: str) -> str:
        """Check the old password within the limits on guessing."""
        request, session = self.request, getattr(self.request.auth, "session", None)
        claimed = {"user": request.user, "session": session, "password": value}
        if passwords.confirm(request._request, **claimed) is None:
            code = "password_incorrect"
            raise ValidationError(PasswordChangeForm.error_messages[code], code)
        return value

    def save(self) -> Any:  # Any: as above
        """Set the new password."""
        super().save()
        if not self.logout_on_password_change:
            session = getattr(self.request.auth, "session", None)
            services.keep_session(session=session, user=self.request.user)
