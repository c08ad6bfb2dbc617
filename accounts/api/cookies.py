"""The refresh token as a cookie, which no script can read (RFC 6265)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.utils import datetime_to_epoch

from accounts.conf import Cookie, conf
from accounts.exceptions import TokenError, TokenInvalid
from accounts.tokens import RefreshToken, decode_refresh

HEADER: Final = "X-Refresh-Cookie"
"""What a client sends, with any value, that wants the cookie.

No form can send it, and a page of another origin only after a preflight that the host allows. So
the cookie that comes along with whatever a foreign page sends is never read.
"""


class RefreshCookie:
    """The cookie of a request whose client asks for it, and what becomes of it in the answer."""

    is_taken = False
    """Whether its token is what the request is about."""
    token: RefreshToken | None = None
    """What the answer sets."""
    is_dead = False
    """Whether the answer deletes it."""

    def __init__(self, request: Request, cookie: Cookie, *, segments: int) -> None:
        self._request = request
        secure = request.is_secure() or settings.SESSION_COOKIE_SECURE
        self._name = f"__Secure-{cookie.name}" if secure else cookie.name
        path = request.path.rstrip("/").rsplit("/", segments)[0]
        # Any: Django declares no type for these.
        self._attributes: dict[str, Any] = {
            # The API's own, wherever it is mounted, as a browser writes it.
            "path": quote(f"{path}/", safe="/:@!$&'()*+,=~"),
            "domain": cookie.domain,
            "samesite": cookie.samesite,
        }
        self._secure = secure

    @classmethod
    def asked_for(cls, request: Request, *, segments: int) -> RefreshCookie | None:
        """Return the cookie; None for a client that does not ask, or a host that sets none.

        ``segments`` is how many the endpoint has in the path, behind that of the API.
        """
        cookie = conf.refresh_cookie
        if cookie is None or HEADER not in request.headers:
            return None
        return cls(request, cookie, segments=segments)

    def take(self) -> RefreshToken | None:
        """Return the cookie's token, verified; None if no cookie came along.

        Raises ``TokenExpired`` or ``TokenInvalid``. Of two cookies by one name, either may be
        somebody else's: neither is taken, nor deleted.
        """
        if self._name not in self._request.COOKIES:
            return None
        pairs = self._request.META["HTTP_COOKIE"].split(";")
        if sum(pair.partition("=")[0].strip() == self._name for pair in pairs) > 1:
            raise TokenInvalid
        self.is_taken = True
        try:
            return decode_refresh(self._request.COOKIES[self._name])
        except TokenError:
            self.is_dead = True
            raise

    def answer(self, response: Response) -> None:
        """Set or delete the cookie."""
        if self.token is not None:
            response.set_cookie(
                self._name,
                str(self.token),
                max_age=self.token["exp"] - datetime_to_epoch(self.token.current_time),
                secure=self._secure,
                httponly=True,
                **self._attributes,
            )
        elif self.is_dead:
            response.delete_cookie(self._name, **self._attributes)
