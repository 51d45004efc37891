"""The server behind the page: it takes drawings and pictures, and streams the candidates' answers as they come."""

from __future__ import annotations

import asyncio
import ctypes
import json
import mimetypes
import socket
import sys
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitbench.draw import guard
from digitbench.draw.guard import Guard, Refusal
from digitbench.draw.pictures import DRAWING_BYTES, picture_of
from digitbench.draw.processes import ProcessGroup
from digitbench.errors import ImageError, MissingRuntimeError, UsageError
from digitbench.images.file_limits import MOST_BYTES
from digitbench.records.arrays import Pixels
from digitbench.records.task import TOP, Task
from digitbench.system.packages import check_packages

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

MOST_ANSWERED = 16  # requests that are answered at once; further ones are sent away for a second
MOST_UPLOADS = 4
PICTURE = "this picture"
SHARE_OF_PIXELS = 0.305  # of what a command reads: 12.2 megapixels, as phones have; 40 take up to 320 MB meanwhile


def check_installed() -> None:
    """Find out before anything is started whether the page can be served.

    Raises
    ------
    MissingRuntimeError
        Starlette, uvicorn or Pillow is not installed.
    """
    check_packages("draw needs", {"PIL": "Pillow", "starlette": "starlette", "uvicorn": "uvicorn"}, "draw")


def listen(host: str, port: int) -> socket.socket:
    """Open the socket that the server will listen on; 0 is any port that is free.

    Raises
    ------
    UsageError
        The port is taken, or the host is no address of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as exc:
        raise UsageError(f"--host {host}: no such address ({exc}); try 127.0.0.1") from exc
    try:
        return socket.create_server(address[:2], family=family, backlog=guard.MOST_CONNECTIONS)
    except OSError as exc:
        problem = f"can't listen at {host} port {port}: {exc.strerror or exc}"
        raise UsageError(f"{problem}; choose another with --port, 0 for any that is free") from exc


def serve(group: ProcessGroup, about: dict[str, Any], listening: socket.socket, host: str) -> None:
    """Serve the page until Ctrl-C, and leave no process behind.

    Parameters
    ----------
    group
        Not started yet.
    about
        What the page says of the bundle: JSON.
    listening, host
        From `listen`.
    """
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(
        Guard(application(group, about), host), http=guard.protocol(), ws="none", loop="asyncio", lifespan="on",
        log_config=None, log_level="error", access_log=False, server_header=False, proxy_headers=False,
        h11_max_incomplete_event_size=guard.HEADER_BYTES, limit_concurrency=guard.MOST_CONNECTIONS,
        timeout_keep_alive=30, timeout_graceful_shutdown=1,
    ))  # fmt: skip
    try:
        server.run(sockets=[listening])
    finally:
        group.end()


def application(group: ProcessGroup, about: dict[str, Any]) -> Starlette:
    """Make the page's application."""
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        group.start()
        # SciPy is loaded now, and not by the first stroke.
        loading = asyncio.get_running_loop().run_in_executor(None, picture_of, b"\xff" * DRAWING_BYTES)
        yield
        await loading
        group.end()

    async def candidates(request: Request) -> JSONResponse:
        return JSONResponse({**about, "task": _described(group.task), "candidates": group.describe()})

    mimetypes.add_type("text/javascript", ".js")  # some systems say otherwise, and browsers then run nothing
    intake = _Intake(group)
    return Starlette(
        routes=[
            Route("/candidates", candidates),
            Route("/predict", intake.take_drawing, methods=["POST"]),
            Route("/image", intake.take_picture, methods=["POST"]),
            Mount("/", StaticFiles(packages=[("digitbench.draw", "page")], html=True)),
        ],
        exception_handlers=dict.fromkeys((Refusal, ImageError, MissingRuntimeError, ClientDisconnect), _refuse),
        lifespan=lifespan,
    )


def _described(task: Task) -> dict[str, Any]:
    """Say what the page must know of the task: of another than digits it shows the likeliest classes."""
    shown = task.classes if task.is_digits else min(TOP, task.classes)
    names = [task.name_of(label) if task.named else task.shows(label) for label in range(task.classes)]
    return {"digits": task.is_digits, "names": task.class_names if task.is_digits else names, "shown": shown,
            "shape": task.image_shape, "text": task.describe()}  # fmt: skip


async def _refuse(request: Request, exc: Exception) -> Response:
    """Answer with the reason where a request is refused."""
    return guard.answer(exc if isinstance(exc, Refusal) else Refusal(HTTPStatus.BAD_REQUEST, str(exc)))


class _Intake:
    """Takes what is sent: a bounded number of requests at once."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._answering, self._uploading = asyncio.Semaphore(MOST_ANSWERED), asyncio.Semaphore(MOST_UPLOADS)
        self._decoding = asyncio.Semaphore(1)  # a large picture takes 200 MB while it is read

    async def take_drawing(self, request: Request) -> ASGIApp:
        """Answer a drawing, or a picture that was seen before."""
        body, task = bytearray(), self._group.task
        await guard.read_body(request, DRAWING_BYTES if task.is_digits else task.pixels, body.extend)
        return self._answers(picture_of(bytes(body), task))

    async def take_picture(self, request: Request) -> ASGIApp:
        """Answer a picture file."""
        from digitbench.images.fitting import prepared_for
        from digitbench.images.reading import read_photograph

        task = self._group.task

        if self._uploading.locked():
            await guard.drain(request)
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many pictures at once; try again in a second")
        async with self._uploading:
            with tempfile.NamedTemporaryFile(dir=self._group.folder) as file:  # 100 MB are too much for memory
                if not await guard.read_body(request, MOST_BYTES, file.write):
                    raise Refusal(HTTPStatus.BAD_REQUEST, "nothing was sent; send a picture file's bytes")
                file.flush()
                async with self._decoding:
                    try:
                        photograph = await asyncio.to_thread(
                            read_photograph,
                            Path(file.name),
                            PICTURE,
                            SHARE_OF_PIXELS,
                            background=None if task.is_digits else 255,
                        )
                        (seen,) = await asyncio.to_thread(prepared_for, task, photograph, PICTURE, fit=self._group.fit)
                    finally:
                        _trim_memory()
        return self._answers(seen.pixels, seen.remark)

    def _answers(self, picture: Pixels, remark: str = "") -> ASGIApp:
        """Stream the picture that is seen, with a remark on it, then each candidate's answer, as lines of JSON."""
        from starlette.responses import StreamingResponse

        if self._answering.locked():
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many at once; try again in a second")

        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            async with self._answering:  # nobody came in between
                lines = _lines(self._group, picture, remark)
                await StreamingResponse(lines, media_type="application/x-ndjson")(scope, receive, send)

        return stream


def _trim_memory() -> None:
    """Give memory back that the C library keeps of what a picture took: up to 100 MB, and the next comes on top."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


async def _lines(group: ProcessGroup, picture: Pixels, remark: str) -> AsyncIterator[str]:
    first: list[dict[str, Any]] = [{"seen": b64encode(picture.tobytes()).decode("ascii"), "remark": remark}]
    async for lines in group.ask(picture):
        yield "".join(json.dumps(line) + "\n" for line in [*first, *lines])
        first = []
