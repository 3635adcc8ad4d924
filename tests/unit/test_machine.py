"""What is said of the machine and of what is installed on it."""

from __future__ import annotations

import os
import resource
from importlib import metadata

import pytest

from tawt import machine
from tawt.machine import NOT_INSTALLED, available_bytes, cgroup_bytes, shell_limits, tightest_bound, version_of


def test_a_checkout_on_the_path_has_no_version(monkeypatch, tawt, request):
    """A package that is only on the path is said to be so; no command ends for it."""
    assert version_of("numpy") == metadata.version("numpy")
    assert version_of("no-such-package") == NOT_INSTALLED

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    version_of.cache_clear()
    request.addfinalizer(version_of.cache_clear)
    ended = tawt("--version")
    assert (ended.code, ended.out) == (0, f"tawt {NOT_INSTALLED}\n")


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {"memory.max": "7"}, [7]),
        ("0::/slice/job\n", {"slice/job/memory.max": "max", "slice/memory.max": "9", "memory.max": "20"}, [9, 20]),
        ("4:cpu,memory:/job\n1:cpu:/job", {"memory/job/memory.limit_in_bytes": "5", "job/memory.max": "1"}, [5]),
        (None, {"memory/memory.limit_in_bytes": "6"}, [6]),
    ],
)
def test_every_cgroup_above_a_process_holds_it(own, files, expected, tmp_path, monkeypatch):
    """Of both versions, the outer ones too; a group without a limit, and one of another kind, are none."""
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    if own is not None:
        (tmp_path / "own").write_text(own)
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "own")
    assert sorted(set(cgroup_bytes())) == expected
    assert tightest_bound().n_bytes == min(expected) == available_bytes()


def test_a_limit_of_the_shell_is_a_bound_of_which_some_is_taken(monkeypatch):
    """What is there is what the tightest limit leaves; a limit that is not set is none."""
    unset = dict.fromkeys((resource.RLIMIT_AS, resource.RLIMIT_DATA), resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (unset[kind], resource.RLIM_INFINITY))
    assert shell_limits() == [] and available_bytes() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    taken = machine._status("VmSize")
    assert taken is not None and taken > 1 << 20
    unset[resource.RLIMIT_AS] = taken + (1 << 30)
    (bound,) = shell_limits()
    assert bound.said == "`ulimit -v`" and bound.n_bytes == taken + (1 << 30) and bound.most >= bound.taken > 0
    assert tightest_bound().said == "`ulimit -v`" and available_bytes() <= (1 << 30) + (1 << 28)
    unset[resource.RLIMIT_DATA] = 1000
    assert available_bytes() == 0 and tightest_bound().said == "`ulimit -d`"


def test_a_limit_that_the_program_sets_itself_is_no_shells():
    """It holds, goes again, and is not told as one that a person could raise; a tighter one of a shell stays."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    far = 1 << 45
    with machine.data_limit(far):
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == far and "`ulimit -d`" not in str(shell_limits())
    resource.setrlimit(resource.RLIMIT_DATA, (far, before[1]))
    try:
        with machine.data_limit(2 * far):
            assert resource.getrlimit(resource.RLIMIT_DATA)[0] == far and "`ulimit -d`" in str(shell_limits())
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
