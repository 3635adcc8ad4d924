"""Starts processes that train as one. A line on stdin, `[N, PORT, WORKSPACE, CONFIG, OUT, FAULT]`, starts N of them;
with a label set, a run and settings behind it they learn a task with a teacher.

What training needs is imported once, and a process is forked for each rank, with the variables that torchrun gives it.
What it says lies beside OUT, in `OUT.<rank>.out` and `.err`; the exit codes of all are the answer, a line of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch._dynamo  # which the first step of an optimizer imports
import torch.distributed.fsdp  # noqa: F401

from tawt.commands import finetune
from tawt.commands.pretrain import pretrain
from tawt.errors import ConfigError, TawtError
from tawt.training import loop


def train(workspace: str, config: str, out: str, fault: str, labels: str = "", run: str = "", *settings: str) -> None:
    """Train as one of several, or fail as asked."""
    real = loop.Trainer._step

    def failing(self, step, *args):
        if step == 2 and self.world.rank == 1 and fault == "memory":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        if step == 2 and self.world.rank == 1 and fault == "signal":
            signal.raise_signal(signal.SIGTERM)
        if step == 5 and self.world.rank == 1 and fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, step, *args)

    loop.Trainer._step = failing

    def report(event):
        if event["event"] in ("stopped", "note"):
            print(event["event"], event.get("step", event.get("text")), flush=True)

    teach = finetune.teach

    def heard(*args):
        print("teaches", flush=True)
        if fault == "teacher":
            raise ConfigError("the teacher", "is ill")
        return teach(*args)

    finetune.teach = heard
    about = {"device": "cpu", "out": Path(out), "resume": fault == "resume", "report": report}
    try:
        if labels:
            finetune.finetune(Path(workspace), labels, run, settings=settings, **about)
        else:
            pretrain(Path(workspace), config, **about)
    except TawtError as error:
        print("error:", error, flush=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def together(n: int, port: int, *words: str) -> list[int]:
    """Fork the ranks and wait for their ends."""
    ranks = []
    for rank in range(n):
        child = os.fork()
        if child == 0:
            given = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "MASTER_PORT": port}
            os.environ |= {"MASTER_ADDR": "127.0.0.1"} | {name: str(value) for name, value in given.items()}
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(f"{words[2]}.{rank}.{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
            signal.alarm(600)  # one that waits for ever ends all the same
            code = 1
            try:
                train(*words)
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)  # to take torch down by itself takes longer than to train
        ranks.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in ranks]


if __name__ == "__main__":
    gc.freeze()  # a rank that looks through what was imported would copy it
    for line in sys.stdin:
        print(json.dumps(together(*json.loads(line))), flush=True)
