"""A request as an ASGI server hands it to Django: with a thread of its own for synchronous code.

Django's ``AsyncClient`` finishes a request in another thread than it began in, as no server does.
"""

from __future__ import annotations

from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application

from tests.host import PATIENCE


def status_of(
    method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b""
) -> int:
    """Send one request; return the status of its answer, once the request has finished."""
    fields = {"Host": "testserver", "Content-Length": str(len(body)), **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
    }

    async def ask() -> int:
        server = ApplicationCommunicator(get_asgi_application(), scope)
        await server.send_input({"type": "http.request", "body": body})
        start = await server.receive_output(timeout=PATIENCE)
        await server.wait(timeout=PATIENCE)
        return int(start["status"])

    return async_to_sync(ask)()
