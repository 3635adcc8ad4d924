"""What was generated gets its name if it may: a workspace is made of it aside, judged, and published by a rename."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from tawt.contracts.synthetic import COPIES, FOLDERS, PROVENANCE, GateVerdict, Provenance
from tawt.errors import PrivacyError
from tawt.files import whole_folder, write_sealed
from tawt.privacy.verdict import REAL_PEOPLE
from tawt.seals import hashes_of
from tawt.shell import shell_line
from tawt.synthesis.refusals import Refusals

Judge = Callable[[Path], Sequence[GateVerdict]]
"""The folder of a set -> what each gate says of it."""
_WAYS = {
    None: "train on more people or for less long",
    COPIES: "copies are real people, made to see that gates refuse them",
}
"""What a refused set of a run, or of a control, calls for."""


def published_set(
    target: Path, make: Callable[[Path], None], about: dict[str, Any], judge: Judge, publish_anyway: Collection[str], *,
    key: str, refusals: Refusals,
) -> Sequence[GateVerdict]:  # fmt: skip
    """Make a set aside, ask the gates, and publish it by a rename; one of real people stays the owner's alone.

    Args:
        target: What it is to be called.
        make: Makes the set in a folder: a workspace, with the MEDS dataset that it was made of.
        about: What `provenance.json` says.
        judge: What is asked.
        publish_anyway: Gates that may refuse it.
        key: A hash of all that its records hang on.
        refusals: Which sets of the same source were refused.

    Raises:
        PrivacyError: A gate refuses it.
    """
    with whole_folder(target, private=_is_of_people(about)) as aside:
        make(aside)
        files = {f"{name}/{below}": sha256 for name in FOLDERS for below, sha256 in hashes_of(aside / name).items()}
        about = about | {"files": files}
        _write(aside, about | {"verdicts": [], "published": False})
        verdicts = [*{one.gate: one for one in (*judge(aside), *_by_making(about))}.values()]
        refused = [one for one in verdicts if one.refuses]
        if against := [one for one in refused if one.gate not in publish_anyway]:
            untold = ""
            try:
                refusals.add(key, about, (one.gate for one in against))
            except OSError:
                untold = f" (which could not be noted in {refusals.folder})"
            raise PrivacyError(
                str(target), f"is not published: {'; '.join(f'{one.gate} ({one.text})' for one in against)}{untold}, "
                "expected all gates to pass it",
                f"{_WAYS.get(about['control'], 'learn from more people')}; `{_anyway(against)}` publishes it with this "
                "verdict",
            )  # fmt: skip
        told = {
            "published": True,
            "verdicts": verdicts,
            "published_anyway": [one.gate for one in refused],
            "refused_before": refusals.n,
        }
        _write(aside, about | told)
    return verdicts


def _write(folder: Path, about: dict[str, Any]) -> None:
    told = Provenance.model_validate(about)
    write_sealed(folder / PROVENANCE, told.model_dump(mode="json", exclude_unset=True))


def _is_of_people(about: dict[str, Any]) -> bool:
    return about["control"] == COPIES


def _by_making(about: dict[str, Any]) -> Sequence[GateVerdict]:
    """Return what is known of a set without an attack: copies are real people, however few they are."""
    if not _is_of_people(about):
        return ()
    return [GateVerdict(REAL_PEOPLE, "failed", "failed: each record is one of train under another id")]


def _anyway(against: Sequence[GateVerdict]) -> str:
    return " ".join(f"--publish-anyway {shell_line(one.gate)}" for one in against)
