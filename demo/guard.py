"""What stands before every route: the size of bodies, who may ask, and what a browser may do with an answer."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAINED = 64
"""Bodies up to so many times the limit are read to their end, and forgotten, before they are refused:
a client that is still sending would see a broken connection instead of the answer."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, most_bytes: int, hosts: Collection[str] | None) -> None:
        """`hosts`: names under which the page may be asked for (None: any).

        Else another site's name, once it resolves to this machine, would let that site's scripts read the corpus.
        """
        self._app, self._most_bytes, self._hosts = app, most_bytes, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refuse(headers)
        body: bytes | None = b""
        if refused is None and scope["method"] not in ("GET", "HEAD"):
            body = await self._read(receive)
            if body is None:
                refused = (413, f"the request is larger than {self._most_bytes:,} bytes; send less text at once")
        if refused is not None or body is None:
            status, said = refused or (400, "the request ended before its body")
            await JSONResponse({"error": said}, status)(scope, receive, send_with_headers)
            return
        sent = False

        async def receive_read() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_read, send_with_headers)

    def _refuse(self, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return 400, f"this page is not served as {_name(host)[:100]!r}; expected {' or '.join(sorted(self._hosts))}"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "another site's page may not ask here; open this one"
        return None

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, or None where it is too large; what is beyond the limit is never held."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b""
            part = message.get("body", b"")
            size += len(part)
            if size <= self._most_bytes:
                parts.append(part)
            else:
                parts.clear()
            if not message.get("more_body", False):
                break
            if size > self._most_bytes * DRAINED:
                return None
        return b"".join(parts) if size <= self._most_bytes else None


def _name(host: str) -> str:
    """A Host header without its port."""
    return host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
