"""Who may talk to the page's server, how much they may send, and how long that may take."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 256
HEADER_SECONDS = 5.0
BODY_SECONDS = 5.0
SLOWEST = 100_000  # bytes a second: larger bodies may take longer, but not at less than that
DRAIN_SECONDS = 2.0
HEADER_BYTES = 16_384
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Refusal(Exception):
    """A request that is answered with a status and a reason, and nothing else."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


def is_loopback(address: str) -> bool:
    """Can only this machine reach that address, or is it a name of this machine's loopback."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


class Guard:
    """Let through only what the page itself asks for, and tell browsers how little the page needs.

    A page of another site may send requests here, since browsers let it; but the browser then says so: in ``Origin``.
    Where that site lets its own name lead to this machine (DNS rebinding), ``Host`` bears its name.

    Parameters
    ----------
    app
        What is guarded.
    host
        Where the server listens.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app, self._open = app, not is_loopback(host)
        hostname = socket.gethostname().lower()
        self._names = {"localhost"} | ({host.lower(), hostname, f"{hostname}.local"} if self._open else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        from starlette.datastructures import Headers, MutableHeaders

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        app = self._app if refusal is None else answer(refusal)
        await app(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> Refusal | None:
        """Say why a request is refused: another site's page may have sent it; None if it is this server's own."""
        host = headers.get("host", "")
        if not self._names_this_server(host):
            message = "unknown host name; open the address that digitbench draw printed"
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, message)
        if method not in {"GET", "HEAD"} and headers.get("origin", "").lower() != f"http://{host}".lower():
            return Refusal(HTTPStatus.FORBIDDEN, "only this server's own page may send it pictures")
        return None

    def _names_this_server(self, host: str) -> bool:
        name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        try:
            return ipaddress.ip_address(name).is_loopback or self._open  # no site's name is a number
        except ValueError:
            return name.lower() in self._names


def answer(refusal: Refusal) -> Response:
    """Make of a refusal what is sent: JSON with its reason as ``error``."""
    from starlette.responses import JSONResponse

    headers = {"retry-after": "1"} if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse({"error": refusal.why}, refusal.status, headers)


async def read_body(request: Request, most_bytes: int, keep: Callable[[bytes], object]) -> int:
    """Read what is sent, and hand it to `keep` piece by piece; give the number of bytes.

    Raises
    ------
    Refusal
        More than `most_bytes` bytes came, whatever was announced (413), or they came too slowly (408).
    """
    loop, size = asyncio.get_running_loop(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS) as limit:
            began = loop.time()
            async for piece in request.stream():
                size += len(piece)
                if size > most_bytes:
                    break
                keep(piece)
                limit.reschedule(began + BODY_SECONDS + size / SLOWEST)
    except TimeoutError:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the upload was too slow; try again") from None
    if size > most_bytes:
        await drain(request)
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {most_bytes:,} bytes; send a smaller picture")
    return size


async def drain(request: Request) -> None:
    """Throw away for a moment what is still sent: who sends it reads no answer before, and may lose it."""
    from starlette.requests import ClientDisconnect

    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in request.stream():
                pass
    except (TimeoutError, ClientDisconnect, RuntimeError):  # the last: all of it has been read
        return


def protocol() -> type[H11Protocol]:
    """Make uvicorn's protocol impatient: it closes a connection whose request doesn't come."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # Else a line waits up to 40 ms for the acknowledgement of the one before; asyncio sets it where a socket
            # names its protocol, which those of `socket.create_server` don't.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._timer = self.loop.call_later(HEADER_SECONDS, transport.close)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._timer.cancel()
            elif self._timer.cancelled():  # the next request of a connection that is kept
                self._timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    return Impatient
