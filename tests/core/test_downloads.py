"""Downloads from mirrors that are whole, broken, dead, silent or wrong: all of them here on 127.0.0.1."""

from __future__ import annotations

import gzip
import io
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from core.helpers import Arrays, Recorder, idx, one_printable_line, publish, small_mnist, use_mirrors
from digitbench import data
from digitbench.data import downloads
from digitbench.data.downloads import Mirror
from digitbench.data.idx_files import IDX_FILES
from digitbench.errors import DataError

IDX_NAMES = tuple(f"{name}.gz" for name in IDX_FILES.values())


class Site:
    """A web server.

    Attributes
    ----------
    files
        Content by path.
    breaks
        How many more GETs of a path break off half way.
    gets
        The paths asked for, in order.
    drips
        Answers to HEAD begin with a byte every tenth of a second, for six seconds.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.breaks: dict[str, int] = {}
        self.gets: list[str] = []
        self.drips = False
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                for _ in range(60 if site.drips else 0):
                    self.wfile.write(b"H")
                    time.sleep(0.1)
                self._start()

            def do_GET(self) -> None:
                site.gets.append(self.path)
                content = self._start()
                if site.breaks.get(self.path, 0) > 0:
                    site.breaks[self.path] -= 1
                    content = content[: len(content) // 2]
                self.wfile.write(content)

            def _start(self) -> bytes:
                content = site.files.get(self.path)
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                return content or b""

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """Small arrays that pass for MNIST."""
    arrays = small_mnist()
    publish(monkeypatch, arrays)
    return arrays


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """digitbench's cache in an empty home, reached without a proxy."""
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv(data.ENVIRONMENT, raising=False)
    folder = downloads.cache_folder()
    assert folder.is_relative_to(tmp_path), "the test must not touch the user's cache"
    return folder


def as_npz(arrays: Arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def left_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*")) if folder.exists() else []


def refusal(cache: Path, progress: Recorder | None = None) -> str:
    with pytest.raises(DataError) as caught:
        data.load("mnist", progress=progress)
    message = str(caught.value)
    assert one_printable_line(message)
    assert "--data PATH" in message, "it says what to do"
    assert str(cache) not in message, "the draft is gone: naming it helps nobody"
    assert left_in(cache) == []
    return message


def dead_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


def test_a_download_lands_in_the_cache_and_is_told(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, Mirror(site.url, ("mnist.npz",)))
    site.files["/mnist.npz"] = as_npz(fake)
    progress = Recorder()
    dataset = data.load("auto", progress=progress)
    assert dataset.name == "mnist"
    np.testing.assert_array_equal(dataset.test.pixels, fake["x_test"])
    assert left_in(cache) == [cache / "mnist.npz"]
    assert (cache / "mnist.npz").read_bytes() == site.files["/mnist.npz"]
    assert progress.finished == {"downloading mnist.npz"}
    assert all(0 <= done <= total for _, done, total in progress.updates)


def test_a_second_load_asks_no_mirror(site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_mirrors(monkeypatch, Mirror(site.url, ("mnist.npz",)))
    site.files["/mnist.npz"] = as_npz(fake)
    first = data.load("mnist")
    use_mirrors(monkeypatch)
    assert data.load("mnist").fingerprint == first.fingerprint
    assert site.gets == ["/mnist.npz"]


@pytest.mark.parametrize("name", ["auto", "mnist"])
def test_a_damaged_cache_is_downloaded_again(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    use_mirrors(monkeypatch, Mirror(site.url, ("mnist.npz",)))
    site.files["/mnist.npz"] = as_npz(fake)
    data.load("mnist")
    (cache / "mnist.npz").write_bytes(b"half a")
    assert data.load(name).name == "mnist"
    assert (cache / "mnist.npz").read_bytes() == site.files["/mnist.npz"]


def test_an_interrupted_download_is_tried_again(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, Mirror(site.url, ("mnist.npz",)))
    site.files["/mnist.npz"] = as_npz(fake)
    site.breaks["/mnist.npz"] = 1
    assert data.load("mnist").source == str(cache / "mnist.npz")
    assert site.gets == ["/mnist.npz"] * 2
    assert left_in(cache) == [cache / "mnist.npz"]


def test_a_download_that_always_breaks_off_is_one_line_and_leaves_nothing(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, Mirror(site.url, ("mnist.npz",)))
    site.files["/mnist.npz"] = as_npz({**fake, "padding": np.zeros(1 << 18, np.uint8)})  # takes several reads
    site.breaks["/mnist.npz"] = 1000
    progress = Recorder()
    assert site.url in refusal(cache, progress)
    assert len(site.gets) == downloads.TRIES
    assert progress.updates, "it was told how far it got"
    assert progress.finished == set(), "and not that it ended"


def test_a_broken_first_mirror_gives_way_to_the_second(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, Mirror(f"{site.url}a/", ("mnist.npz",)), Mirror(f"{site.url}b/", ("mnist.npz",)))
    site.files |= dict.fromkeys(("/a/mnist.npz", "/b/mnist.npz"), as_npz(fake))
    monkeypatch.setattr(downloads, "TRIES", 1)
    monkeypatch.setattr(downloads, "_answering", list)  # in their order, so that the broken one is tried
    site.breaks["/a/mnist.npz"] = 1000
    assert data.load("mnist").name == "mnist"
    assert site.gets == ["/a/mnist.npz", "/b/mnist.npz"]
    assert left_in(cache) == [cache / "mnist.npz"]


def test_a_dead_first_mirror_gives_way_to_idx_files(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, Mirror(dead_port(), ("mnist.npz",)), Mirror(site.url, IDX_NAMES))
    for key, name in IDX_FILES.items():
        site.files[f"/{name}.gz"] = gzip.compress(idx(fake[key]))
    progress = Recorder()
    dataset = data.load("mnist", progress=progress)
    np.testing.assert_array_equal(dataset.train.pixels, fake["x_train"])
    assert sorted(left_in(cache)) == sorted([cache / "mnist", *(cache / "mnist" / name for name in IDX_NAMES)])
    assert progress.finished == {f"downloading {name}" for name in IDX_NAMES}
    assert downloads.cached("mnist") == cache / "mnist"


def test_idx_files_of_which_one_is_missing_leave_nothing(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, Mirror(site.url, IDX_NAMES))
    monkeypatch.setattr(downloads, "TRIES", 1)
    for key, name in list(IDX_FILES.items())[:3]:
        site.files[f"/{name}.gz"] = gzip.compress(idx(fake[key]))
    assert "404" in refusal(cache)
    assert len(site.gets) == 4


def test_what_is_not_mnist_is_refused_and_not_kept(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, Mirror(site.url, ("mnist.npz",)))
    site.files["/mnist.npz"] = as_npz(small_mnist(seed=1))
    assert "isn't MNIST" in refusal(cache)
    assert site.gets == ["/mnist.npz"]


def test_a_login_page_instead_of_mnist_is_refused_and_not_kept(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, Mirror(site.url, ("mnist.npz",)))
    site.files["/mnist.npz"] = b"<html>please log in</html>"
    assert "isn't MNIST" in refusal(cache)


def test_mirrors_that_never_answer_are_given_up_in_time(
    fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        use_mirrors(monkeypatch, Mirror(url, ("mnist.npz",)), Mirror(url, IDX_NAMES))
        began = time.monotonic()
        message = refusal(cache)
        assert time.monotonic() - began < 0.5 + 3
    assert "no mirror can be reached" in message


def test_a_mirror_that_answers_byte_by_byte_is_given_up_in_time(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never times out as sockets see it."""
    site.drips = True
    monkeypatch.setattr(downloads, "ANSWER_SECONDS", 0.5)
    use_mirrors(monkeypatch, Mirror(site.url, ("mnist.npz",)))
    began = time.monotonic()
    refusal(cache)
    assert time.monotonic() - began < 0.5 + 3


def test_a_mirror_that_answers_is_used_while_another_is_silent(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/mnist.npz"] = as_npz(fake)
    monkeypatch.setattr(downloads, "ANSWER_SECONDS", 30.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        use_mirrors(monkeypatch, Mirror(url, ("mnist.npz",)), Mirror(site.url, ("mnist.npz",)))
        began = time.monotonic()
        assert data.load("mnist").name == "mnist"
        assert time.monotonic() - began < 15, "the silent one is not waited for"


def test_a_cache_that_cannot_be_written_is_one_line(
    site: Site, fake: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, Mirror(site.url, ("mnist.npz",)))
    site.files["/mnist.npz"] = as_npz(fake)
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="can't be written") as caught:
        data.load("mnist")
    assert one_printable_line(str(caught.value))
    assert str(cache) in str(caught.value)
