"""What is said of the machine and of what is installed on it."""

from __future__ import annotations

from importlib import metadata

from tawt.machine import NOT_INSTALLED, version_of


def test_a_checkout_on_the_path_has_no_version(monkeypatch, tawt):
    """A package that is only on the path is said to be so; no command ends for it."""
    assert version_of("numpy") == metadata.version("numpy")
    assert version_of("no-such-package") == NOT_INSTALLED

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    ended = tawt("--version")
    assert (ended.code, ended.out) == (0, f"tawt {NOT_INSTALLED}\n")
