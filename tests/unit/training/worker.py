"""One process of several: `python worker.py WORKSPACE CONFIG OUT [fault]`, with RANK and the like in the environment."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Train, or fail as asked."""
    from tawt.errors import TawtError
    from tawt.tasks.pretrain import pretrain
    from tawt.training import loop

    workspace, config, out, fault = sys.argv[1:5]
    real = loop.Trainer._step

    def failing(self, step, *args):
        if step == 2 and self.world.rank == 1 and fault == "memory":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        if step == 2 and self.world.rank == 1 and fault == "signal":
            import signal

            signal.raise_signal(signal.SIGTERM)
        return real(self, step, *args)

    loop.Trainer._step = failing

    def report(event):
        if event["event"] in ("stopped", "note"):
            print(event["event"], event.get("step", event.get("text")), flush=True)

    try:
        pretrain(Path(workspace), config, device="cpu", out=Path(out), resume=fault == "resume", report=report)
    except TawtError as error:
        print("error:", error, flush=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
