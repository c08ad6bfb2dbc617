"""For another service, without our tables: accept our access tokens while their login is alive.

Nothing here needs the rest of ``accounts``. To have the checks, add ``"accounts.remote"`` to
INSTALLED_APPS; ``"accounts"`` itself does not belong there.
"""

from accounts.remote.authentication import RemoteAuthentication, RemoteUser

__all__ = ["RemoteAuthentication", "RemoteUser"]
