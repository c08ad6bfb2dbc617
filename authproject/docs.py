"""The API's schema in Swagger UI: no script and no style but those of this server."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.views import SpectacularSwaggerSplitView

from accounts.pages import policy


class SwaggerView(SpectacularSwaggerSplitView):
    """Swagger UI under the policy of the app's pages, and with images that are part of its CSS."""

    template_name = "authproject/docs.html"
    content_security_policy = {**policy.STRICT, "img-src": (*policy.SELF, "data:")}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer with the headers."""
        response = super().dispatch(request, *args, **kwargs)
        value = policy.header(self.content_security_policy)
        response.headers["Content-Security-Policy"] = value
        # The script has the CSRF token of whoever asks; no page of another site is to run it.
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response
