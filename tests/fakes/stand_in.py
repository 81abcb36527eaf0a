"""A child process that replaces training in tests of executors.

It writes its status and follows the file `behave` in its run folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.sweep_folders import stand

# Pops the first word of the file `behave` in its folder and behaves accordingly; finishes normally
# when no word is left.
CHILD = """
import json, os, signal, sys, time
folder = sys.argv[1]
def tell(state, steps):
    status = json.load(open(folder + "/template.json"))
    status |= {"state": state, "env_steps": steps, "pid": os.getpid()}
    open(folder + "/.new", "w").write(json.dumps(status))
    os.replace(folder + "/.new", folder + "/status.json")
def save(*_):
    tell("stopped", 50); sys.exit(75)
words = open(folder + "/behave").read().split()
open(folder + "/behave", "w").write(" ".join(words[1:]))
how = words[0] if words else "finish"
if how == "deaf":
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    time.sleep(60)
signal.signal(signal.SIGTERM, save)
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2]
signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
tell("train", 10)
print("gpu", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
if how == "hang":
    open(folder + "/hangs", "w").close(); time.sleep(60)
if how == "crash":
    print("the gears are stuck", flush=True); tell("failed", 10); sys.exit(1)
if how == "refuse":
    tell("failed", 10); sys.exit(2)
if how == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "leave":
    save()
time.sleep(0.3)
tell("finished", 600)
"""


def command(folder: Path) -> list[str]:
    """Replacement of slurm.child.command."""
    return [sys.executable, "-S", "-c", CHILD, str(folder)]


def prepare(folder: Path) -> None:
    """Make a submitted run folder ready for the child."""
    stand(folder, "starting")
    (folder / "status.json").rename(folder / "template.json")
    behave(folder)


def behave(folder: Path, *how: str) -> None:
    """Set the behaviour of the next starts, one word each."""
    (folder / "behave").write_text(" ".join(how))
