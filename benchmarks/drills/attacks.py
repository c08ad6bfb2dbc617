"""What attackers do with what they have."""

from __future__ import annotations

import base64
import json
import random
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any, Final

import jwt

from benchmarks.drills.client import FORM, JSON, Answer, Client
from benchmarks.drills.guesses import guess
from benchmarks.drills.logins import Login
from benchmarks.drills.traces import Asked
from benchmarks.drills.victims import DEVICE, PASSWORD, Account, Standing

LOGOUTS: Final = ("/api/v1/auth/logout", "/logout", "/logout/all")
FOREIGN: Final = (
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null"},
)

_numbers: Final = count()


@dataclass(slots=True, kw_only=True)
class Arms:
    """What an attacker has of a victim, or of his own: nothing at all, to begin with."""

    bearers: list[str] = field(default_factory=list)
    refresh_tokens: list[str] = field(default_factory=list)
    counted_by: str = ""
    """The key that counts what a live one of these bearers confirms."""
    browser: dict[str, str] = field(default_factory=dict)
    """The cookies of the victim's browser; its login and its device have counts of their own."""
    browser_counted_by: str = ""
    device_counted_by: str = ""
    own: Account | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacker(Client):
    """A client of many addresses, one of them the victims'; each request has an id of its own."""

    asked: list[Asked] = field(compare=False)

    def call(
        self,
        method: str,
        path: str,
        *,
        bearer: str = "",
        body: Mapping[str, str] | None = None,
        kind: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask, and note it."""
        headers = {**(headers or {}), "X-Request-ID": uuid.uuid4().hex}
        if random.random() < 0.7:
            parts = [str(random.randrange(256)) for _ in range(2)]
            headers["X-Forwarded-For"] = ".".join(["198", "18", *parts])
        answer = Client.call(
            self, method, path, bearer=bearer, body=body, kind=kind, headers=headers
        )
        # A page shows a form again that it does not accept.
        is_refused = answer.status >= 400 or (kind == FORM and answer.status == 200)
        self.asked.append(
            Asked(
                id=headers["X-Request-ID"],
                what=f"{method} {path}: {answer.status}",
                status=answer.status,
                is_refused=is_refused,
                presented=bearer or (body or {}).get("refresh_token", ""),
                by_django=_told_by_django(method, path, headers, answer.status),
            )
        )
        return answer

    def with_cookies(self, cookies: Mapping[str, str]) -> Attacker:
        """Return a browser with these cookies, whose requests are noted here."""
        return Attacker(host=self.host, port=self.port, cookies=dict(cookies), asked=self.asked)


def _told_by_django(method: str, path: str, headers: Mapping[str, str], status: int) -> str:
    if method == "GET" and status == 401:
        return path.strip("/")
    return "forms" if "Origin" in headers and status == 403 else ""


# Guessing a password


def spellings(account: Account) -> Iterator[str]:
    """Yield a username as it is, and in forms that something may take for the same."""
    name = account.username
    yield from (name, name.upper(), name.title(), f" {name} ", name + "\u200b")
    yield from (_wide(name), _wide(name.upper()), name.replace("k", "\u212a"))
    yield from (name.replace("s", "\u017f"), name.replace("i", "\u0131"), name + "\u0301")


def _wide(name: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) for letter in name)


def _from_another_site(path: str) -> Callable[[Client, str, str], Answer]:
    return lambda client, name, password: client.call(
        "POST",
        path,
        body={"grant_type": "password", "username": name, "password": password},
        kind=FORM,
        headers=random.choice(FOREIGN),
    )


WAYS_IN: Final[dict[str, Callable[[Client, str, str], Answer]]] = {
    "token": lambda client, name, password: client.log_in(name, password),
    "token, as an address": lambda client, name, password: client.post(
        "/api/v1/auth/token", grant_type="password", email=name, password=password
    ),
    "token, as a form": lambda client, name, password: client.call(
        "POST",
        "/api/auth/token",
        body={"grant_type": "password", "username": name, "password": password},
        kind=FORM,
    ),
    "page": lambda client, name, password: client.submit(
        "/account/login", username=name, password=password
    ),
    "admin": lambda client, name, password: client.submit(
        "/admin/login/", username=name, password=password
    ),
    "SimpleJWT's view": lambda client, name, password: client.post(
        "/drill/obtain-view", username=name, password=password
    ),
    "another site": _from_another_site("/token"),
    "another site, SimpleJWT's view": _from_another_site("/drill/obtain-view"),
    "another site, page": _from_another_site("/account/login"),
}


def guess_passwords(attacker: Attacker, victim: Account, arms: Arms) -> Iterator[None]:
    """Try each way with each name, and what only this attacker can."""
    names = [*spellings(victim), victim.email, victim.email.upper(), _wide(victim.email)]
    odd = [(way, name) for way in WAYS_IN.values() for name in names]
    # By those that are the account's for sure, all the time: the others use up the same counts.
    sure = [(way, name) for way in WAYS_IN.values() for name in (victim.username, victim.email)]
    random.shuffle(odd)
    mixed = [one for pair in zip(odd, cycle(sure), cycle(sure[::-1]), strict=False) for one in pair]
    for number, (way, name) in enumerate([*sure, *sure, *mixed]):
        way(_jar(attacker, victim, arms), name, _guess(f"user:{victim.pk}"))
        yield
        if number % 8 == 0:
            yield from _confirm(attacker, victim, arms)


def _guess(counted_by: str) -> str:
    return guess(counted_by, next(_numbers))


def _jar(attacker: Attacker, victim: Account, arms: Arms) -> Attacker:
    """Return a browser without a device, with a forged one, or with that of the attacker."""
    _, _, rest = victim.device.partition("-")
    forged = [{}, {}, {DEVICE: "x"}, {DEVICE: f"{secrets.token_hex(16)}-{rest}"}]
    if arms.own is not None:
        own, _, _ = arms.own.device.partition("-")
        forged += [{DEVICE: arms.own.device}, {DEVICE: f"{own}-{rest}"}]
        if random.random() < 0.2:
            # To log in oneself takes nothing off the count.
            arms.own.on_device(as_client(attacker)).log_in(arms.own.username, PASSWORD)
            as_client(attacker).log_in(arms.own.username, PASSWORD)
    return attacker.with_cookies(random.choice(forged))


def as_client(attacker: Attacker) -> Client:
    """Return a client for what an attacker does by right."""
    return Client(host=attacker.host, port=attacker.port)


def _confirm(attacker: Attacker, victim: Account, arms: Arms) -> Iterator[None]:
    """Guess as who is logged in already, or has the victim's device."""
    for bearer in arms.bearers:
        password = _guess(arms.counted_by or f"user:{victim.pk}")
        for path in ("/reauthenticate", "/api/v1/auth/reauthenticate"):
            attacker.call("POST", path, bearer=bearer, body={"password": password})
            yield
    if not arms.browser:
        return
    browser = attacker.with_cookies(arms.browser)
    for path, fields in PASSWORD_PAGES.items():
        password = _guess(arms.browser_counted_by)
        browser.submit(path, **{name: password if name in ASKED else PASSWORD for name in fields})
        yield
    device = attacker.with_cookies({DEVICE: arms.browser[DEVICE]})
    device.log_in(victim.username, _guess(arms.device_counted_by))
    yield


PASSWORD_PAGES: Final = {
    "/account/reauthenticate": ("password",),
    "/account/sessions/end-others": ("password",),
    "/account/sessions/end-all": ("password",),
    "/admin/password_change/": ("old_password", "new_password1", "new_password2"),
}
ASKED: Final = ("password", "old_password")


# Spending somebody's logouts


def spend_logouts(attacker: Attacker, victim: Account, arms: Arms) -> Iterator[None]:
    """Ask for logouts that end nothing, again and again."""
    bearers = [*arms.bearers, *_made_up(victim.pk, uuid.uuid4())]
    for bearer in bearers:
        for path in LOGOUTS:
            attacker.log_out(path, bearer, scope="none")
            yield
            attacker.log_out(path, bearer, token="x")
            yield
            attacker.call("GET", path, bearer=bearer)
            yield
        attacker.call("DELETE", f"/sessions/{uuid.uuid4()}", bearer=bearer)
        yield
        if not arms.counted_by:  # of a login that stands this would end it
            for path in LOGOUTS:
                attacker.log_out(path, bearer)
                yield
    attacker.log_out("/logout", "")
    yield


# Ending somebody else's login


def end_logins(
    attacker: Attacker, targets: list[Standing], arms: Arms, others: list[str]
) -> Iterator[None]:
    """Try whatever could be taken for the right to end these; ``others`` are more bearers."""
    for target in targets:
        login = random.choice(target.tokens)
        bearers = [*arms.bearers, *others]
        forged = [*_made_up(target.account.pk, login.sid), *_altered(login, bearers)]
        for bearer in (*forged, login.expired_access):
            yield from _end_by(attacker, bearer, login)
        for bearer in bearers:
            for named in (login.access, login.refresh, *forged):
                attacker.log_out(random.choice(LOGOUTS[:2]), bearer, token=named, scope="session")
                yield
            attacker.call("DELETE", f"/sessions/{login.sid}", bearer=bearer)
            yield
            # The victim's cookies come along, as from a page that the victim looks at.
            browser = attacker.with_cookies(target.browser)
            browser.log_out("/logout", bearer, scope="others")
            yield
        for refresh_token in arms.refresh_tokens:
            attacker.log_out("/logout", login.expired_access, token=refresh_token)
            yield
            if not arms.counted_by:
                attacker.refresh(refresh_token)
                yield
        yield from _end_by_forms(attacker, target)


def _end_by(attacker: Attacker, bearer: str, login: Login) -> Iterator[None]:
    for path in LOGOUTS:
        attacker.log_out(path, bearer, token=login.access)
        yield
    attacker.log_out("/logout", bearer, scope="global")
    yield
    attacker.call("DELETE", f"/sessions/{login.sid}", bearer=bearer)
    yield
    for path in ("/user", "/sessions"):
        attacker.call("GET", path, bearer=bearer)
        yield
    attacker.refresh(bearer)
    yield
    # SimpleJWT's own code, which logs nothing.
    as_client(attacker).post("/drill/blacklist-view", refresh=bearer)
    yield


def _end_by_forms(attacker: Attacker, target: Standing) -> Iterator[None]:
    for headers in FOREIGN:
        for path in (
            *("/account/logout", "/account/sessions/end-all", "/account/sessions/end-others"),
            *(f"/account/sessions/{target.tokens[0].sid}/end", "/account/login", "/admin/logout/"),
            *LOGOUTS,
        ):
            attacker.with_cookies(target.browser).call(
                "POST",
                path,
                body={
                    "csrfmiddlewaretoken": secrets.token_hex(16),
                    "password": PASSWORD,
                    "username": target.account.username,
                },
                kind=FORM,
                headers=headers,
            )
            yield


def _made_up(user_id: int, sid: uuid.UUID) -> list[str]:
    """Return tokens of keys, and of an algorithm, that are not the project's."""
    now = int(time.time())
    claims = {"sub": str(user_id), "sid": str(sid), "iat": now, "exp": now + 3600}
    made = []
    for kind in ("access", "refresh"):
        content = {**claims, "token_type": kind, "jti": uuid.uuid4().hex}
        made.append(jwt.encode(content, secrets.token_hex(32), algorithm="HS256"))
        made.append(f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(content)}.")
    return made


def _altered(login: Login, bearers: list[str]) -> Iterator[str]:
    """Yield a login's own tokens with other parts."""
    for raw in (login.access, login.refresh):
        header, payload, signature = raw.split(".")
        yield f"{header}.{payload}.{signature[::-1]}"
        yield f"{header}.{payload}."
        yield f"{_part({'alg': 'none', 'typ': 'JWT'})}.{payload}."
        for bearer in bearers[:1]:
            other_header, other_payload, other_signature = bearer.split(".")
            yield f"{header}.{payload}.{other_signature}"
            yield f"{other_header}.{other_payload}.{signature}"


def _part(content: dict[str, Any]) -> str:  # Any: JSON
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
