"""Which backends can't run a model that was made elsewhere: each is tried once, in a process of its own, and recorded.

What is recorded holds for the versions that it was found out with. A backend that a person names is measured all the
same, and its failure is an error.
"""

from __future__ import annotations

import numpy as np

from digitbench import plugins
from digitbench.backend import Backend
from digitbench.bundle import Artifact, Bundle
from digitbench.errors import UsageError
from digitbench.plugins import Plugin
from digitbench.system.progress import Progress
from digitbench.system.version import __version__
from digitbench.workers.pool import Job, WorkerDied, WorkerError, score

IMAGES = 3
TIMEOUT = 30.0


def reason(bundle: Bundle, plugin: Plugin, backend_class: type[Backend]) -> str:
    """Say why a backend can't run the model that was imported; nothing where it can, or that isn't known.

    It is tried now, and what comes of it recorded, where that isn't known of its present version.
    """
    artifact = _imported_artifact(bundle)
    if not artifact or plugin.name == bundle.reference_backend or bundle.format_for(backend_class) != artifact.format:
        return ""
    if artifact.precision not in plugins.runnable(backend_class, [artifact.precision], artifact.format):
        return f"it doesn't run {artifact.precision}"
    attempt = bundle.attempts.get(plugin.name)
    versions = {"digitbench": __version__, **plugin.runtime_versions()}
    if attempt and attempt.versions == versions:
        return attempt.why
    why = _fault(bundle, plugin, artifact)
    try:
        bundle.record_attempt(plugin.name, versions, why)
    except OSError:
        return why  # in a folder that can't be written it is found out each time
    return why


def try_others(bundle: Bundle, progress: Progress) -> None:
    """Try every installed backend besides the one that a model was imported with, and record which can't run it."""
    task, artifact = "trying other runtimes", _imported_artifact(bundle)
    others = {
        plugins.find(name): backend_class
        for name, backend_class in plugins.classes().items()  # who measures with one that can't be loaded sees why
        if artifact and artifact.format in backend_class.formats() and name != bundle.reference_backend
    }
    candidates = [plugin for plugin in others if not plugin.missing()]
    for done, plugin in enumerate(candidates):
        progress.update(task, done, len(candidates), plugin.name)
        why = reason(bundle, plugin, others[plugin])
        if why:
            progress.say(left_out(plugin.name, why))
    if candidates:
        progress.update(task, len(candidates), len(candidates), f"{len(candidates)} tried")


def left_out(name: str, why: str) -> str:
    """Give the message about a backend that isn't measured because it can't run the model."""
    return f"{name} is left out, as it can't run this model: {why}"


def _imported_artifact(bundle: Bundle) -> Artifact | None:
    imported = bundle.manifest.imported
    return next((artifact for artifact in bundle.artifacts if imported and artifact.format == imported.format), None)


def _fault(bundle: Bundle, plugin: Plugin, artifact: Artifact) -> str:
    """Let a backend score a few images; give its error, if it raises one.

    The answer is empty where it died or took too long: that may have other reasons than the model.
    """
    path = bundle.open(artifact)
    model_io, task = bundle.model_io_of(artifact), bundle.task
    job = Job(plugin.name, path, 1, precision=artifact.precision, model_io=model_io, classes=task.classes)
    blank = np.zeros((IMAGES, *task.image_shape), np.float32)
    try:
        score(job, blank, TIMEOUT)
    except (WorkerDied, UsageError):
        return ""
    except WorkerError as exc:
        return str(exc).removeprefix(f"{path.resolve()}: ").removeprefix(f"{path}: ")
    return ""
