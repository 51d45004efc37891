"""Find a backend by its entry point, load it, and say what is missing.

A backend is any class that an installed distribution announces in the entry-point group ``digitbench.backends``;
digitbench's own come through the same door. What a plugin needs to run is read from its distribution's metadata:
the extra that bears the backend's name if there is one, else the distribution's own requirements.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from digitbench.backend import Backend
from digitbench.errors import (
    ArtifactError,
    BackendError,
    MissingRuntimeError,
    PluginError,
    UnknownBackendError,
    unknown,
)
from digitbench.plugins.model_io import NATIVE_IO, ModelIO, adapted
from digitbench.system import trusted_files

GROUP = "digitbench.backends"


@dataclass(frozen=True)
class Plugin:
    """A backend that some installed distribution announces; its module is not imported yet.

    Attributes
    ----------
    name
        What the user calls it: ``"onnx"``.
    distribution
        Name of the distribution it comes from.
    version
        That distribution's version.
    entry_point
        Where its class is.
    requirements
        What must be installed for it to run, besides its distribution.
    install_line
        The command that installs all of it.
    """

    name: str
    distribution: str
    version: str
    entry_point: metadata.EntryPoint
    requirements: tuple[Requirement, ...]
    install_line: str

    def missing(self) -> list[str]:
        """Names of the requirements that are not installed, found without importing any."""
        return [need.name for need in self.requirements if not _installed(need.name)]

    def runtime_versions(self) -> dict[str, str]:
        """Version of each installed requirement, by name; without importing any."""
        return {need.name: _version(need.name) for need in self.requirements if _installed(need.name)}

    def load(self) -> type[Backend]:
        """Import the plugin's class.

        Raises
        ------
        MissingRuntimeError
            Its module imports something that is not installed.
        PluginError
            What the entry point names is not there, or not a `Backend`.
        """
        with self.explain_missing():
            try:
                found = self.entry_point.load()
            except AttributeError as exc:
                raise PluginError(f"backend {self.name!r} of {self.distribution}: {exc}") from exc
        if not (isinstance(found, type) and issubclass(found, Backend)):
            raise PluginError(
                f"backend {self.name!r} of {self.distribution}: {self.entry_point.value} is not a subclass of "
                "digitbench.backend.Backend"
            )
        return found

    def open(
        self, artifact: Path, *, threads: int, precision: str, model_io: ModelIO = NATIVE_IO, trial: bool = False
    ) -> Backend:
        """Import the plugin's class and let it open an artifact: whatever digitbench runs is opened here alone.

        A precision that the runtime makes itself is asked of it, and code in a file is run only where it is trusted.
        What is given back takes digitbench's images, whatever form the model in the artifact takes. In a trial the form
        is a guess, and the backend is told it even if it is digitbench's own: then it can't rely on how we make models.

        Raises
        ------
        MissingRuntimeError, PluginError
            See `load`.
        FileNotFoundError, ArtifactError, ThreadsError
            See `Backend`; and where code in the file isn't trusted.
        BackendError
            This machine can't make that precision, or the backend opens models of digitbench's own form alone.
        """
        with self.explain_missing():
            kind = self.load()
            constraints: dict[str, Any] = {"precision": precision} if precision in kind.makes else {}
            if model_io.is_native and not trial:
                return kind(artifact, threads=threads, **constraints)
            if "io_spec" not in inspect.signature(kind).parameters:
                raise BackendError(
                    f"backend {self.name!r} opens models made by digitbench alone; its author can let it take "
                    "`io_spec` (see digitbench.backend.IOSpec)"
                )
            if model_io.code and not trusted_files.holds(artifact):
                raise ArtifactError(f"{artifact}: it holds code that isn't trusted here; import it again with --trust")
            constraints["io_spec"] = replace(model_io.io_spec, trusted=model_io.code)
            return adapted(kind(artifact, threads=threads, **constraints), model_io)

    @contextmanager
    def explain_missing(self) -> Iterator[None]:
        """Turn the absence of a plugin's runtime into one line; let every other import error through."""
        try:
            yield
        except ModuleNotFoundError as exc:
            own = self.entry_point.module.partition(".")[0]
            if exc.name is None or exc.name.partition(".")[0] in {"digitbench", own}:
                raise  # a fault in our code or theirs, not a package to install
            raise self.missing_error(exc.name) from exc

    def missing_error(self, *packages: str) -> MissingRuntimeError:
        """Say which packages are not installed, and the line that installs them."""
        told = f"backend {self.name!r} needs {', '.join(packages)}, not installed here; run: {self.install_line}"
        return MissingRuntimeError(told, mend=self.install_line)


def discover() -> dict[str, Plugin]:
    """Every announced backend by name, sorted; no plugin is imported.

    Raises
    ------
    PluginError
        Two distributions announce the same name.
    """
    announced: dict[str, dict[str, Plugin]] = defaultdict(dict)
    for point in metadata.entry_points(group=GROUP):
        plugin = _describe(point)
        announced[plugin.name][plugin.distribution] = plugin
    for name, rivals in announced.items():
        if len(rivals) > 1:
            raise PluginError(f"two plugins are called {name!r}: {', '.join(sorted(rivals))}; uninstall one of them")
    return {name: next(iter(rivals.values())) for name, rivals in sorted(announced.items())}


def find(name: str) -> Plugin:
    """The plugin of that name.

    Raises
    ------
    UnknownBackendError
        There is none; the message names the nearest.
    """
    known = discover()
    if not known:
        raise BackendError("no backend is installed, not even digitbench's own; reinstall digitbench")
    if name in known:
        return known[name]
    raise UnknownBackendError(unknown("backend", name, known))


def opener(job: Mapping[str, Any]) -> Callable[[], Backend]:
    """Find what a process' job names (backend, artifact, threads, precision, form); calling what this gives opens it.

    Raises
    ------
    UnknownBackendError
        There is no such backend.
    """
    plugin, model_io = find(job["backend"]), ModelIO.from_json(job.get("model_io", {}))
    return partial(
        plugin.open, Path(job["artifact"]), threads=job["threads"], precision=job["precision"], model_io=model_io
    )


def listing() -> list[dict[str, str]]:
    """Describe every announced backend without importing a runtime.

    Returns
    -------
    list of dict
        backend, runtime (packages with versions), format (or formats), source (distribution and version), and problem:
        why it can't be used and what would mend it, or nothing.
    """
    rows = []
    for plugin in discover().values():
        versions = plugin.runtime_versions()
        missing, format, problem = plugin.missing(), "?", ""
        try:
            kind = plugin.load()
            format = ", ".join([kind.format, *kind.further_formats])
        except BackendError as exc:
            problem = str(exc)
        rows.append(
            {
                "backend": plugin.name,
                "runtime": ", ".join(f"{name} {version}" for name, version in versions.items()),
                "format": format,
                "source": f"{plugin.distribution} {plugin.version}",
                "problem": f"not installed; run: {plugin.install_line}" if missing else problem,
            }
        )
    return rows


def _describe(point: metadata.EntryPoint) -> Plugin:
    home = point.dist
    if home is None:
        raise PluginError(f"backend {point.name!r} belongs to no distribution; reinstall the package it comes from")
    needs = [Requirement(line) for line in home.requires or ()]
    extra_needs = [need for need in needs if need.marker and _wanted_by(need, point.name) and not _wanted_by(need, "")]
    ours = canonicalize_name(home.name) == "digitbench"
    if extra_needs:
        chosen, line = extra_needs, f'pip install "{home.name}[{point.name}]"'
    else:
        chosen = [need for need in needs if _wanted_by(need, "") and canonicalize_name(need.name) != "digitbench"]
        line = f"pip install {home.name}"
    if ours and not extra_needs:  # the core's own requirements: numpy is what its reference backend runs on
        chosen = [need for need in chosen if need.name == point.name]
    return Plugin(point.name, home.name, home.version, point, tuple(chosen), line)


def _wanted_by(need: Requirement, extra: str) -> bool:
    return need.marker is None or need.marker.evaluate({"extra": extra})


def _installed(name: str) -> bool:
    # A runtime comes under several distributions (tensorflow-cpu, onnxruntime-openvino): the module decides.
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return find_spec(_module_of(name)) is not None
    return True


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        homes = metadata.packages_distributions().get(_module_of(name), [])
        return metadata.version(homes[0]) if homes else "unknown"


def _module_of(name: str) -> str:
    return canonicalize_name(name).replace("-", "_")
