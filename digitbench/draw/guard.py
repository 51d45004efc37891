"""Who may talk to the page's server, how much they may send, and how long that may take."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request
    from uvicorn.protocols.http.h11_impl import H11Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

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

    def __init__(self, app: App, host: str) -> None:
        self._app, self._open = app, not is_loopback(host)
        hostname = socket.gethostname().lower()
        self._names = {"localhost"} | ({host.lower(), hostname, f"{hostname}.local"} if self._open else set())

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check(scope["method"], headers)
        except Refusal as refusal:
            await answer(send_with_headers, refusal)
            return
        await self._app(scope, receive, send_with_headers)

    def _check(self, method: str, headers: dict[bytes, str]) -> None:
        """Look at where a request comes from.

        Raises
        ------
        Refusal
            Another site's page may have sent it.
        """
        host = headers.get(b"host", "")
        if not self._names_this_server(host):
            message = "this server is not called so; open the address that digitbench draw printed"
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, message)
        if method not in {"GET", "HEAD"} and headers.get(b"origin", "").lower() != f"http://{host}".lower():
            raise Refusal(HTTPStatus.FORBIDDEN, "only this server's own page may send it pictures")

    def _names_this_server(self, host: str) -> bool:
        name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        try:
            return ipaddress.ip_address(name).is_loopback or self._open  # no site's name is a number
        except ValueError:
            return name.lower() in self._names


async def answer(send: Send, refusal: Refusal) -> None:
    """Send a refusal: JSON with its reason as ``error``."""
    body = json.dumps({"error": refusal.why}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": int(refusal.status), "headers": headers})
    await send({"type": "http.response.body", "body": body})


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
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "it came too slowly; try again") from None
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
    except (TimeoutError, ClientDisconnect):
        return


def protocol() -> type[H11Protocol]:
    """Make uvicorn's protocol impatient: it closes a connection whose request doesn't come, or is one too many."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # Else a line waits up to 40 ms for the acknowledgement of the one before; asyncio sets it where a socket
            # names its protocol, which those of `socket.create_server` don't.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self.connections) > MOST_CONNECTIONS:
                transport.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\r\n")
                transport.close()
                return
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self.conn.their_state is not h11.IDLE:
                self._forget()
            elif self._timer is None:
                self._timer = self.loop.call_later(HEADER_SECONDS, self._give_up)

        def _forget(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

    return Impatient
