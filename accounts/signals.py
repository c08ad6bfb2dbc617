"""What happened, announced after the commit."""

from __future__ import annotations

from django.dispatch import Signal

# Arguments: ``event``, the LogoutEvent that was recorded.
login_ended = Signal()
