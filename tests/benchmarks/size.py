"""What an ingest and a build of the vocabulary take, by stage: memory of all their processes, disk, CPU and how long.

    python tests/benchmarks/size.py RAW... [--memory-limit 500MB] [--threads 2] [--dir FOLDER]

RAW are extracts (`extract.py`); each is read into a workspace of its own. Resident memory of the process and of all its
children is summed fifty times a second, the files of the workspace twice a second (a file with two names once). `most` of a
disk is held to what was foretold before the start, and what was said of the time left to how long it was, at five points.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

JOB = """
import json, os, sys, time
import tawt, tawt.pipeline.work
command, raw, out, limit, threads, pipeline, *settings = sys.argv[1:]
def say(**told):  # in one piece, for shards are told by several threads
    sys.stdout.write(json.dumps({"at": time.time(), "cpu": sum(os.times()[:4]), **told}) + "\\n")
    sys.stdout.flush()
held = tawt.pipeline.work.hold_room
def hold_room(*given, **more):
    room = held(*given, **more)
    say(event="room", n_bytes=room.n_bytes)
    return room
tawt.pipeline.work.hold_room = hold_room
def report(event):
    told = {key: event[key] for key in ("event", "stage", "left_s") if key in event}
    if event["event"] != "note":
        say(**told)
given = dict(memory_limit=limit or None, threads=int(threads), report=report)
if command == "ingest":
    tawt.ingest(raw, pipeline, out, settings=tuple(settings), **given)
else:
    tawt.build_vocab(out, **given)
"""
COMMANDS = ("ingest", "build-vocab")
POINTS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Shares of a command's time at which what was said of the rest is held to it."""


def resident(pid: int) -> int:
    """Return the resident memory of a process and of all its children, bytes."""
    n_bytes = 0
    try:
        n_bytes = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        children = [c for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
        n_bytes += sum(resident(int(child)) for child in children)
    except (OSError, ValueError, IndexError):  # it has just ended
        pass
    return n_bytes


def on_disk(folder: Path) -> int:
    """Return what the files of a folder take on disk, each once, bytes."""
    taken: dict[int, int] = {}
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                found = (Path(place) / name).lstat()
            except OSError:
                continue
            taken[found.st_ino] = found.st_blocks * 512
    return sum(taken.values())


def measure(command: str, raw: Path, out: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run a command on an extract, and return what each stage took."""
    events: list[dict[str, Any]] = []
    now, most, disk, over = "begin", defaultdict[str, int](int), defaultdict[str, int](int), threading.Event()
    words = [command, str(raw), str(out), given.memory_limit, str(given.threads), given.pipeline, *given.set]
    process = subprocess.Popen([sys.executable, "-c", JOB, *words], stdout=subprocess.PIPE, text=True)
    began = time.time()

    def watch() -> None:
        looked = 0.0
        while not over.wait(0.02):
            stage = now
            most[stage] = max(most[stage], resident(process.pid))
            if time.monotonic() - looked > 0.5:
                disk[stage] = max(disk[stage], on_disk(out))
                looked = time.monotonic()

    before = on_disk(out)
    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stdout is not None
    start: dict[str, Any] = {}
    for line in process.stdout:
        event = json.loads(line)
        events.append(event)
        if event["event"] == "start":
            now, start = event["stage"], event
        elif event["event"] == "done" and given.stages and event["stage"] == start.get("stage"):
            cpu, seconds = (event[key] - start[key] for key in ("cpu", "at"))
            print(f"    {now:<28}{most[now] / 1e6:8,.0f} MB{cpu:9.1f} CPU s{seconds:9.1f} s", flush=True)
    _, status, usage = os.wait4(process.pid, 0)
    over.set()
    watcher.join()
    if status:
        raise SystemExit(f"{raw}: {command} failed with status {status}")
    took = {"seconds": time.time() - began, "cpu": usage.ru_utime + usage.ru_stime, "left": on_disk(out)}
    foretold = next(event["n_bytes"] for event in events if event["event"] == "room")
    return {"events": events, "most": most, "disk": disk, "before": before, "foretold": foretold, **took}


def told(events: list[dict[str, Any]]) -> str:
    """Return what was said of the time left at some points, and how long it was."""
    plan = next(event["at"] for event in events if event["event"] == "plan")
    end, said = events[-1]["at"], [event for event in events if event.get("left_s") is not None]
    words = []
    for point in POINTS:
        at = plan + point * (end - plan)
        heard = [event for event in said if event["at"] <= at]
        words.append(f"{heard[-1]['left_s']:.0f} of {end - heard[-1]['at']:.0f} s" if heard else "nothing")
    return ", ".join(f"{point:.0%}: {word}" for point, word in zip(POINTS, words, strict=True))


def main() -> None:
    """Print what each extract took, by stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, nargs="+")
    parser.add_argument("--pipeline", default="mimic_iv")
    parser.add_argument("--memory-limit", default="500MB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the pipeline, as shards=1")
    parser.add_argument("--dir", type=Path, help="where workspaces are made, and removed")
    parser.add_argument("--stages", action="store_true", help="a line for each stage, too")
    given = parser.parse_args()
    for raw in given.raw:
        print(f"{raw}, --memory-limit {given.memory_limit}, {given.threads} threads", flush=True)
        with tempfile.TemporaryDirectory(dir=given.dir) as scratch:
            for command in COMMANDS:
                took = measure(command, raw, Path(scratch) / "w", given)
                most, stage = max((n_bytes, stage) for stage, n_bytes in took["most"].items())
                disk = (max(took["disk"].values()) - took["before"]) / 1e6
                print(
                    f"  {command:<12}{most / 1e6:6,.0f} MB (in {stage}), {took['cpu']:,.1f} CPU s, "
                    f"{took['seconds']:,.1f} s, disk {disk:,.1f} MB (foretold {took['foretold'] / 1e6:,.1f}: "
                    f"{disk * 1e6 / took['foretold']:.2f} of it)\n    left {told(took['events'])}", flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
