"""A workspace in S3 is made, and trained on: a server of moto stands for S3, s3fs reads it, on this machine alone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import tawt
from tests.peers.conftest import HERE, PYTHON


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which programs find an empty S3."""
    can = (
        PYTHON.is_file()
        and subprocess.run([PYTHON, "-c", "import flask, moto, s3fs"], capture_output=True).returncode == 0
    )
    if not can:
        pytest.skip("moto and s3fs are not installed: `bash scripts/peers.sh` does that")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    line = [str(PYTHON), "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    with (tmp_path / "moto.log").open("w") as log, subprocess.Popen(line, stdout=log, stderr=log) as server:
        try:
            for _ in range(600):
                with socket.socket() as tried:
                    if tried.connect_ex(("127.0.0.1", int(port))) == 0:
                        break
                time.sleep(0.1)
            keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
            yield os.environ | keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        finally:
            server.terminate()


def test_a_run_learns_from_shards_in_s3(place: Path, s3: dict[str, str], tmp_path: Path) -> None:
    """The same weights as from the workspace itself; what it read was fetched once, and the test split was not."""
    here = Path(shutil.copytree(place, tmp_path / "here"))
    tawt.build_vocab(here, threads=1, memory_limit="1GB")
    env = s3 | {"PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    line = [str(PYTHON), str(HERE / "inside" / "learn_from_s3.py"), str(here), str(tmp_path / "there")]
    ended = subprocess.run(line, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    fetched = {path.relative_to(tmp_path / "there").parts[1] for path in (tmp_path / "there").glob("dataset/*/*.arrow")}
    assert fetched == {"train", "tuning"}
    weights = [(tmp_path / name / "runs/r/model.safetensors").read_bytes() for name in ("here", "there")]
    assert weights[0] == weights[1]


def test_parts_in_s3_make_the_workspace_of_one_process(place: Path, s3: dict[str, str], tmp_path: Path) -> None:
    """Two processes with a bucket in common and no folder; one is killed in the middle, and goes on in an empty folder. What
    comes back from the bucket is the same, and nothing of it is public."""
    tawt.build_vocab(here := Path(shutil.copytree(place, tmp_path / "here")), threads=1, memory_limit="1GB")
    env, url = s3 | {"PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}, "s3://bucket/work"
    run = partial(subprocess.run, env=env, cwd=tmp_path, capture_output=True, text=True)
    made = run([PYTHON, "-c", "import s3fs; s3fs.S3FileSystem().mkdir('bucket')"])
    assert made.returncode == 0, made.stderr

    def start(w: str, part: str) -> subprocess.Popen[str]:
        line = [
            str(PYTHON),
            str(HERE / "inside" / "part_in_s3.py"),
            url,
            str(place.parent / "raw"),
            str(tmp_path / w),
            part,
        ]
        return subprocess.Popen(line, env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    def ended(process: subprocess.Popen[str]) -> None:
        said = process.communicate(timeout=600)[1]
        assert process.returncode == 0, said[-4000:]

    ended(start("first", "prepare"))
    killed, other = start("a", "1/2"), start("b", "2/2")
    while not list((tmp_path / "a" / "manifests").glob("*.json")):
        assert killed.poll() is None, killed.communicate()[1][-4000:]
        time.sleep(0.05)
    killed.kill()
    again = start("c", "1/2")
    ended(again)
    ended(other)
    pulled = run([PYTHON, "-c", f"import tawt; tawt.pull({url!r}, 'back')"])
    assert pulled.returncode == 0, pulled.stderr
    for name in ("events", "vocabulary", "triplets", "dataset", "quarantine", "ledger.parquet"):
        assert contents(tmp_path / "back" / name) == contents(here / name), name
    look = "import s3fs; s = s3fs.S3FileSystem(); names = s.find('bucket'); print(len(names)); "
    look += "print({g['Grantee']['Type'] for n in names for g in s.call_s3('get_object_acl', Bucket='bucket', Key=n[7:])['Grants']}); "
    look += "print([n for n in names if '.aside' in n or 'local' in n])"
    said = run([PYTHON, "-c", look])
    n, grantees, left = said.stdout.splitlines()
    assert int(n) > 30 and grantees == "{'CanonicalUser'}" and left == "[]", said.stdout + said.stderr


def contents(place: Path) -> dict[str, bytes]:
    """What files below a folder hold, or the file itself; not the card, which names packages, and theirs are others."""
    paths = [path for path in (place, *place.rglob("*")) if path.is_file() and path.name != "README.md"]
    return {path.relative_to(place.parent).as_posix(): path.read_bytes() for path in paths}
