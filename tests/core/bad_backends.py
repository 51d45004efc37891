"""A plugin whose backends misbehave, each in the way its name says; and `Good`."""

from __future__ import annotations

PLUGIN = """
import os, signal, subprocess, sys, threading, time
import numpy as np
from digitbench.backend import Backend, Runtime
from digitbench.errors import ArtifactError


class Good(Backend):
    format = "npz"

    def __init__(self, artifact, *, threads):
        self.threads = threads

    @property
    def runtime(self):
        return Runtime("Fake", "1", "none", self.threads)

    def predict(self, images):
        return np.full((len(images), 10), 0.5, np.float32)

    def close(self):
        pass


def death(name, act):
    def predict(self, images):
        act()

    return type(name, (Good,), {"predict": predict})


def die(number):
    os.kill(os.getpid(), number)


def speak_and_exit():
    print("first\\nsecond\\nthird\\nlast words", file=sys.stderr)
    sys.stderr.flush()
    os._exit(3)


def chatter():
    print("chatter by Python")
    sys.stdout.flush()
    os.write(1, b'{"event": "done"}\\nchatter by C\\n')
    subprocess.run([sys.executable, "-c", "print('chatter by a child')"])
    return np.zeros((1, 10), np.float32)


def several_lines():
    raise RuntimeError("first line\\nsecond \\x1b[31mline")


def stay():
    print(os.getpid(), file=open(os.path.dirname(os.environ["TMPDIR"]) + "/pid", "w"))
    time.sleep(600)


def fall_silent():
    # Nobody hears it any more, and it doesn't end.
    os.closerange(0, 256)
    time.sleep(5)
    os._exit(0)


def have_a_child():
    if os.fork() == 0:
        print(os.getpid(), file=open(os.path.dirname(os.environ["TMPDIR"]) + "/child", "w"))
        time.sleep(4)
        os._exit(0)


def corrupt():
    raise ArtifactError("model.npz: corrupt")


Killed = death("Killed", lambda: die(signal.SIGKILL))
Segfault = death("Segfault", lambda: die(signal.SIGSEGV))
RealTime = death("RealTime", lambda: die(signal.SIGRTMIN + 1))
Exits = death("Exits", speak_and_exit)
ExitsWell = death("ExitsWell", lambda: os._exit(0))
SystemExits = death("SystemExits", lambda: sys.exit(5))
Raises = death("Raises", several_lines)
Corrupt = death("Corrupt", corrupt)
Sleeps = death("Sleeps", stay)
Silent = death("Silent", fall_silent)
NotANumber = death("NotANumber", lambda: None)


class Parent(Good):
    def __init__(self, artifact, *, threads):
        super().__init__(artifact, threads=threads)
        have_a_child()


class Slow(Good):
    # Takes a while to load, and writes down how many do.
    def __init__(self, artifact, *, threads):
        super().__init__(artifact, threads=threads)
        folder = os.path.dirname(os.environ["TMPDIR"]) + "/loading"
        os.makedirs(folder, exist_ok=True)
        path = f"{folder}/{os.getpid()}"
        open(path, "w").close()
        time.sleep(0.15)
        with open(os.path.dirname(os.environ["TMPDIR"]) + "/together", "a") as seen:
            print(len(os.listdir(folder)), file=seen)
        time.sleep(0.15)
        os.remove(path)


class Later(Good):
    # Scores, then dies while nobody asks it anything.
    def predict(self, images):
        if len(images) == 5:
            threading.Timer(0.05, lambda: os._exit(7)).start()
        return super().predict(images)


class Erratic(Good):
    # Never settles: its calls take longer and longer.
    calls = 0

    def predict(self, images):
        self.calls += 1
        time.sleep(0.0005 * 1.02 ** min(self.calls, 200))
        return super().predict(images)


class Prints(Good):
    def predict(self, images):
        chatter()
        return super().predict(images)


class Environment(Good):
    def predict(self, images):
        raise RuntimeError(os.environ.get("DIGITBENCH_SECRET", "unset") + " " + os.environ["OMP_NUM_THREADS"])
"""
NAMES = (
    "Good", "Killed", "Segfault", "RealTime", "Exits", "ExitsWell", "SystemExits", "Raises", "Corrupt", "Sleeps",
    "Silent", "NotANumber", "Parent", "Slow", "Later", "Prints", "Environment", "Erratic",
)  # fmt: skip
