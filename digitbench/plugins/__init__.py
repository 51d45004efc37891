"""Find backends and exporters by their entry points, load them, and say what is missing.

A backend is any class that an installed distribution announces in the entry-point group ``digitbench.backends``;
digitbench's own are found in the same way. What a plugin needs to run is read from its distribution's metadata:
the extra that has the backend's name if there is one, else the distribution's own requirements.
Exporters are announced in ``digitbench.exporters``, each by the name of its format.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import structs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from digitbench import errors
from digitbench.backend import Backend
from digitbench.errors import (
    ArtifactError,
    BackendError,
    MissingRuntimeError,
    PluginError,
    UnknownBackendError,
    unknown,
)
from digitbench.plugins import entry_points
from digitbench.plugins.exporter import Exporter
from digitbench.plugins.model_io import NATIVE_IO, ModelIO, adapted
from digitbench.records.precisions import FP32, IMPORTED
from digitbench.system import trusted_files
from digitbench.system.packages import install_command


@dataclass(frozen=True)
class Plugin:
    """A backend, or exporter, that some installed distribution announces; its module is not imported yet.

    Attributes
    ----------
    name
        What the user calls it: ``"onnx"``. An exporter has its format's.
    entry_point
        Where its class is.
    """

    name: str
    entry_point: metadata.EntryPoint

    @property
    def distribution(self) -> str:
        """Name of the distribution it comes from."""
        return entry_points.distribution_of(self.entry_point).name

    @property
    def version(self) -> str:
        """That distribution's version."""
        return entry_points.distribution_of(self.entry_point).version

    @property
    def is_native(self) -> bool:
        """Is it digitbench's own."""
        return canonicalize_name(self.distribution) == "digitbench"

    @cached_property
    def requirements(self) -> tuple[Requirement, ...]:
        """What must be installed for it to run, besides its distribution."""
        if self._of_extra:
            return self._of_extra
        return tuple(
            requirement
            for requirement in self._listed
            if _applies_with(requirement, "")
            # Of the core's own requirements: numpy is what its reference backend runs on.
            and requirement.name == (self.name if self.is_native else requirement.name)
            and canonicalize_name(requirement.name) != "digitbench"
        )

    @property
    def install_line(self) -> str:
        """The command that installs all of it."""
        return install_command(self.distribution, self.name if self._of_extra else "")

    @cached_property
    def _listed(self) -> list[Requirement]:
        return [Requirement(text) for text in entry_points.distribution_of(self.entry_point).requires or ()]

    @cached_property
    def _of_extra(self) -> tuple[Requirement, ...]:
        """What the extra of the backend's name lists."""
        return tuple(
            requirement
            for requirement in self._listed
            if requirement.marker and _applies_with(requirement, self.name) and not _applies_with(requirement, "")
        )

    @property
    def modules(self) -> set[str]:
        """What its requirements are imported as, most of them."""
        return {_module_of(requirement.name) for requirement in self.requirements}

    def missing(self) -> list[str]:
        """Names of the requirements that are not installed, found without importing any."""
        return [requirement.name for requirement in self.requirements if not _version(requirement.name)]

    def require(self) -> None:
        """Refuse to go on where a requirement is not installed.

        Raises
        ------
        MissingRuntimeError
            The message has the command that installs it.
        """
        if missing := self.missing():
            raise self.missing_error(*missing)

    def runtime_versions(self) -> dict[str, str]:
        """Version of each installed requirement, by name; without importing any."""
        versions = {requirement.name: _version(requirement.name) for requirement in self.requirements}
        return {name: version for name, version in versions.items() if version}

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
            return entry_points.load(self.entry_point, Backend)  # type: ignore[type-abstract]

    def exporter(self, *, needed: bool = False) -> Exporter:
        """Import the class of an exporter; where it is needed, only with all that it imports.

        Raises
        ------
        MissingRuntimeError, PluginError
            See `load`; or what it says of itself can't be used; or what it needs is not installed.
        """
        with self.explain_missing():
            exporter = entry_points.load(self.entry_point, Exporter)()  # type: ignore[type-abstract]
        if problem := exporter.problem(self.name):
            raise PluginError(f"exporter {self.name!r} of {self.distribution}: {problem}; its author can change that")
        missing = exporter.missing() if self.is_native else [*self.missing(), *exporter.missing()]
        if needed and missing:
            raise self.missing_error(*missing, extra=exporter.extra if self.is_native else "")
        return exporter

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

    def missing_error(self, *packages: str, extra: str = "") -> MissingRuntimeError:
        """Say which packages are not installed, and the line that installs them, or an extra that lists them."""
        mend = install_command(self.distribution, extra) if extra else self.install_line
        what = f"backend {self.name!r}" if self.entry_point.group == entry_points.BACKENDS else f"exporting {self.name}"
        return MissingRuntimeError(f"{what} needs {', '.join(packages)}, not installed here; run: {mend}", mend=mend)


def discover(group: str = entry_points.BACKENDS) -> dict[str, Plugin]:
    """Every announced backend by name, sorted, or exporter; no plugin is imported.

    Raises
    ------
    PluginError
        Two distributions announce the same name.
    """
    return {name: Plugin(name, entry_point) for name, entry_point in entry_points.announced(group).items()}


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


def classes() -> dict[str, type[Backend]]:
    """Give the class of every announced backend by name, but of those that can't be loaded; no runtime is imported."""
    loaded = {}
    for name, plugin in discover().items():
        with suppress(BackendError):
            loaded[name] = plugin.load()
    return loaded


def unnamed() -> list[Plugin]:
    """Give the backends that are measured where nobody names one; also those that can't be loaded, to say why."""
    loaded = classes()
    only_named = {name for name in loaded if loaded[name].only_named}
    return [plugin for name, plugin in discover().items() if name not in only_named]


def usual_order() -> list[str]:
    """Name the backends that may be taken where nobody names one, the quickest to load first."""
    orders = {name: backend_class.order for name, backend_class in classes().items()}
    return sorted((name for name in orders if orders[name] is not None), key=lambda name: orders[name] or 0)


def trained() -> tuple[str, str]:
    """Name the backend of the models that are trained here, which alone can be exported; and their format.

    Raises
    ------
    BackendError
        None is installed.
    """
    for name, backend_class in classes().items():
        if backend_class.trained:
            return name, backend_class.format
    raise BackendError("no backend opens what is trained, not even digitbench's own; reinstall digitbench")


def exporters() -> dict[str, Exporter]:
    """Every announced exporter by its format, but those that can't be loaded; none imports what it needs.

    Raises
    ------
    PluginError
        Two distributions announce the same name.
    """
    loaded = {}
    for format, plugin in discover(entry_points.EXPORTERS).items():
        with suppress(BackendError):
            loaded[format] = plugin.exporter()
    return loaded


def find_exporter(format: str) -> Plugin:
    """Give the plugin that writes a format; a UsageError if there is none."""
    discovered = discover(entry_points.EXPORTERS)
    if format not in discovered:
        raise errors.UsageError(unknown("format", format, discovered))
    return discovered[format]


def exported(model_io: ModelIO, format: str) -> ModelIO:
    """Give the I/O of what an exporter writes of a model: one output, no code, and perhaps any number of images."""
    exporter = exporters().get(format)
    batch = None if exporter and exporter.frees_batch else model_io.batch
    return structs.replace(model_io, batch=batch, output=replace(model_io.output, name=""), code=False)


def title(name: str) -> str:
    """What texts call a backend whose answers others are compared with: ``"Keras"``, or its name."""
    backend_class = classes().get(name)
    return (backend_class and backend_class.title) or name


def runnable(backend_class: type[Backend], stored: Iterable[str], format: str | None = None) -> list[str]:
    """Name the precisions that a backend opens artifacts of, in the usual order; those that it makes come beside.

    Parameters
    ----------
    backend_class
        The backend's class.
    stored
        Precisions of its format that a bundle holds; those of its exporter could be written.
    format
        Which of its formats; else the first.
    """
    exporter = exporters().get(format or backend_class.format)
    candidates = dict.fromkeys([*(exporter.precisions if exporter else (FP32,)), *stored])
    return [
        precision
        for precision in candidates
        if backend_class.precisions is None or precision in (*backend_class.precisions, *IMPORTED)
    ]


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
        backend, runtime (packages with versions), format (or formats), precisions, source (distribution and version),
        install (the line that does), and problem: why it can't be used and what would mend it, or nothing.
    """
    rows = []
    for plugin in discover().values():
        versions, format, precisions = plugin.runtime_versions(), "?", ""
        problem = f"not installed; run: {plugin.install_line}" if plugin.missing() else ""
        try:
            backend_class = plugin.load()
            format = ", ".join(backend_class.formats())
            precisions = ", ".join([*runnable(backend_class, ()), *backend_class.makes])
        except BackendError as exc:
            problem = problem or str(exc)
        rows.append(
            {
                "backend": plugin.name,
                "runtime": ", ".join(f"{name} {version}" for name, version in versions.items()),
                "format": format,
                "precisions": precisions,
                "source": f"{plugin.distribution} {plugin.version}",
                "install": plugin.install_line,
                "problem": problem,
            }
        )
    return rows


def _applies_with(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _version(name: str) -> str:
    """Give the version of what is installed; nothing where it isn't, and ``unknown`` of a module of no distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # A runtime comes under several distributions (tensorflow-cpu, onnxruntime-openvino): the module decides.
        if find_spec(_module_of(name)) is None:
            return ""
        distributions = metadata.packages_distributions().get(_module_of(name), [])
        return metadata.version(distributions[0]) if distributions else "unknown"


def _module_of(name: str) -> str:
    return canonicalize_name(name).replace("-", "_")
