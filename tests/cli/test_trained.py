"""What is said of how a training ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tawt.cli.output import Format
from tawt.cli.trained import no_better, tell_decoder


def test_an_end_is_held_to_the_trivial_guess_and_to_the_start() -> None:
    """A whole of one part is named once; a start that was better is told, with the probe that it is."""
    tuning = [("tuning", "all", 0.576, 0.5, None), ("tuning", "label", 0.576, 0.5, 30)]
    start = [("start", "all", 0.476, 0.5, None), ("start", "label", 0.476, 0.5, 30)]
    trivial, worse = no_better([*start, *tuning], took_steps=True)
    assert trivial.startswith("on tuning `label` ended no better than the trivial baseline; fewer steps")
    assert "`label` ended at 0.5760, from 0.4760; `--mode probe` is that start" in worse
    assert [*no_better([(split, part, 0.4, 0.5, n) for split, part, _, _, n in tuning] + start, took_steps=True)] == []


def test_what_took_no_step_is_not_told_to_take_fewer() -> None:
    """Of a probe nothing hangs on steps."""
    (text,) = no_better([("tuning", "all", 0.6, 0.5, None), ("tuning", "label", 0.6, 0.5, 30)], took_steps=False)
    assert "steps" not in text and "keep_best" not in text and "more records" in text


def test_several_parts_are_named_beside_their_sum() -> None:
    """Where a sum is of several, it is another thing than each."""
    three = [("tuning", part, 0.6, 0.5, None) for part in ("all", "code", "value")]
    (text,) = no_better(three, took_steps=True)
    assert "`all`, `code`, `value` ended" in text


@pytest.mark.parametrize("is_told", [False, True])
def test_a_decoder_is_followed_by_what_it_is_for(is_told: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Records of nobody and embeddings, and risks where it is told of no whole record, which nobody has before it ends."""
    tell_decoder(Path("a b"), "decode_small", is_told, "cpu", False, Format.table)
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "next: tawt generate -w 'a b' --subjects 1000 --out 'a b-invented' --run decode_small"
    assert "or: tawt embed -w 'a b' --run decode_small --device cpu" in " ".join(said)
    assert ("or: tawt risk TASK -w 'a b' --run decode_small" in said) != is_told
