"""What can go wrong with a login or a token. No HTTP here: the edge translates."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accounts.models import Session, User


class AccountsError(Exception):
    """The base of every error of this app."""


class TokenError(AccountsError):
    """A token proves nothing; see the subclasses. ``code`` names the reason in the log."""

    code: str


class TokenInvalid(TokenError):
    """A token is malformed, tampered with, of the wrong type or signed by someone else.

    The client has to log in again; it will never become valid.
    """

    code = "token_invalid"


class TokenExpired(TokenError):
    """A genuine token is past its ``exp``. The client refreshes, or logs in again."""

    code = "token_expired"


class TokenRevoked(TokenError):
    """A genuine token belongs to a login that has ended. The client logs in again."""

    code = "token_revoked"


class UserInactive(TokenRevoked):
    """The login stands, but its user may not use it for now. An administrator can change that.

    ``user`` is who it is: what may be undone must not keep a logout from being done.
    """

    code = "user_inactive"

    def __init__(self, user: User) -> None:
        super().__init__()
        self.user = user


class LoginOver(TokenRevoked):
    """A login is refused for good, and its row, ``session``, still stands: it is to be ended."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session


class TokenReused(LoginOver):
    """A refresh token was presented that a newer one has replaced (RFC 9700 §4.14.2).

    Either a client kept an old token or somebody stole one; nobody can tell which.
    """

    code = "token_reused"


class LoginRunOut(LoginOver):
    """A login is past one of its limits."""

    code = "login_run_out"


class CredentialsChanged(LoginOver):
    """A login began with a password that is not its user's any more."""

    code = "password_changed"


class ReauthenticationRequired(AccountsError):
    """A login has to be re-authenticated before it may end others (ASVS 7.5.2)."""


class AppendOnly(AccountsError):
    """Code tried to change or delete a recorded event. Record another one instead."""
