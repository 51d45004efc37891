"""Find a backend by its entry point, load it, and say what is missing.

A backend is any class that an installed distribution announces in the entry-point group ``digitbench.backends``;
digitbench's own are found in the same way. What a plugin needs to run is read from its distribution's metadata:
the extra that has the backend's name if there is one, else the distribution's own requirements.
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
        return [requirement.name for requirement in self.requirements if not _installed(requirement.name)]

    def runtime_versions(self) -> dict[str, str]:
        """Version of each installed requirement, by name; without importing any."""
        return {
            requirement.name: _version(requirement.name)
            for requirement in self.requirements
            if _installed(requirement.name)
        }

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
                plugin_class = self.entry_point.load()
            except AttributeError as exc:
                raise PluginError(f"backend {self.name!r} of {self.distribution}: {exc}") from exc
        if not (isinstance(plugin_class, type) and issubclass(plugin_class, Backend)):
            raise PluginError(
                f"backend {self.name!r} of {self.distribution}: {self.entry_point.value} is not a subclass of "
                "digitbench.backend.Backend"
            )
        return plugin_class

    def open(
        self, artifact: Path, *, threads: int, precision: str, model_io: ModelIO = NATIVE_IO, trial: bool = False
    ) -> Backend:
        """Import the plugin's class and let it open an artifact: whatever digitbench runs is opened here alone.

        A precision that the runtime makes itself is asked of it, and code in a file is run only where it is trusted.
        What is given back takes digitbench's images, whatever the artifact's model takes. In a trial the model I/O is a
        guess, and the backend is given it even if it is the native one: then it can't rely on how we make models.

        Raises
        ------
        MissingRuntimeError, PluginError
            See `load`.
        FileNotFoundError, ArtifactError, ThreadsError
            See `Backend`; and where code in the file isn't trusted.
        BackendError
            This machine can't make that precision, or the backend opens models of the native I/O alone.
        """
        with self.explain_missing():
            backend_class = self.load()
            options: dict[str, Any] = {"precision": precision} if precision in backend_class.makes else {}
            if model_io.is_native and not trial:
                return backend_class(artifact, threads=threads, **options)
            if "io_spec" not in inspect.signature(backend_class).parameters:
                raise BackendError(
                    f"backend {self.name!r} opens models made by digitbench alone; its author can let it take "
                    "`io_spec` (see digitbench.backend.IOSpec)"
                )
            if model_io.code and not trusted_files.holds(artifact):
                raise ArtifactError(f"{artifact}: it holds code that isn't trusted here; import it again with --trust")
            options["io_spec"] = replace(model_io.io_spec, trusted=model_io.code)
            return adapted(backend_class(artifact, threads=threads, **options), model_io)

    @contextmanager
    def explain_missing(self) -> Iterator[None]:
        """Turn the absence of a plugin's runtime into one line; let every other import error through."""
        try:
            yield
        except ModuleNotFoundError as exc:
            plugin_package = self.entry_point.module.partition(".")[0]
            if exc.name is None or exc.name.partition(".")[0] in {"digitbench", plugin_package}:
                raise  # a fault in digitbench's code or the plugin's, not a package to install
            raise self.missing_error(exc.name) from exc

    def missing_error(self, *packages: str) -> MissingRuntimeError:
        """Say which packages are not installed, and the line that installs them."""
        message = f"backend {self.name!r} needs {', '.join(packages)}, not installed here; run: {self.install_line}"
        return MissingRuntimeError(message, mend=self.install_line)


def discover() -> dict[str, Plugin]:
    """Every announced backend by name, sorted; no plugin is imported.

    Raises
    ------
    PluginError
        Two distributions announce the same name.
    """
    announced: dict[str, dict[str, Plugin]] = defaultdict(dict)
    for entry_point in metadata.entry_points(group=GROUP):
        plugin = _describe(entry_point)
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
    discovered = discover()
    if not discovered:
        raise BackendError("no backend is installed, not even digitbench's own; reinstall digitbench")
    if name in discovered:
        return discovered[name]
    raise UnknownBackendError(unknown("backend", name, discovered))


def opener(job: Mapping[str, Any]) -> Callable[[], Backend]:
    """Find what a job names (backend, artifact, threads, precision, model I/O); calling what this gives opens it.

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
            backend_class = plugin.load()
            format = ", ".join([backend_class.format, *backend_class.further_formats])
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


def _describe(entry_point: metadata.EntryPoint) -> Plugin:
    distribution = entry_point.dist
    if distribution is None:
        raise PluginError(
            f"backend {entry_point.name!r} belongs to no distribution; reinstall the package it comes from"
        )
    requirements = [Requirement(text) for text in distribution.requires or ()]
    of_extra = [
        requirement
        for requirement in requirements
        if requirement.marker and _applies_with(requirement, entry_point.name) and not _applies_with(requirement, "")
    ]
    is_native = canonicalize_name(distribution.name) == "digitbench"
    if of_extra:
        chosen, install_line = of_extra, f'pip install "{distribution.name}[{entry_point.name}]"'
    else:
        chosen = [
            requirement
            for requirement in requirements
            if _applies_with(requirement, "") and canonicalize_name(requirement.name) != "digitbench"
        ]
        install_line = f"pip install {distribution.name}"
    if is_native and not of_extra:  # the core's own requirements: numpy is what its reference backend runs on
        chosen = [requirement for requirement in chosen if requirement.name == entry_point.name]
    return Plugin(entry_point.name, distribution.name, distribution.version, entry_point, tuple(chosen), install_line)


def _applies_with(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


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
        distributions = metadata.packages_distributions().get(_module_of(name), [])
        return metadata.version(distributions[0]) if distributions else "unknown"


def _module_of(name: str) -> str:
    return canonicalize_name(name).replace("-", "_")
