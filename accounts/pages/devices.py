"""A login in words, as its owner sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from django.utils.text import Truncator
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _

from accounts.models import Session
from accounts.pages.names import device_name
from accounts.pages.places import place_of


@dataclass(frozen=True, kw_only=True)
class Device:
    """One login, and whether it is the one that asks."""

    session: Session
    is_current: bool

    @property
    def name(self) -> str:
        """What it is, or what it says of itself."""
        agent = Truncator(self.session.user_agent).chars(60)
        return device_name(self.session.user_agent) or agent or _("Unknown device")

    @property
    def kind(self) -> str:
        """A browser, or what has tokens."""
        return _("Browser") if self.session.kind == Session.Kind.BROWSER else _("App")

    @property
    def place(self) -> str:
        """Where its address is, if that is known."""
        return place_of(self.session.ip_address)

    @property
    def last_seen(self) -> str:
        """How long ago it was used."""
        moment = self.session.last_seen_at
        if self.is_current or moment is None or timezone.now() - moment < timedelta(minutes=2):
            return _("Active now")
        return _("Last seen %(time)s ago") % {"time": timesince(moment, depth=1)}

    @property
    def logged_in(self) -> str:
        """How long ago it began."""
        moment = self.session.authenticated_at
        if moment is None or timezone.now() - moment < timedelta(minutes=1):
            return _("Logged in just now")
        return _("Logged in %(time)s ago") % {"time": timesince(moment, depth=1)}

    @property
    def ends(self) -> str:
        """When it ends if it is not used."""
        return _("Ends by itself in %(time)s") % {"time": timeuntil(self.session.expires_at)}
