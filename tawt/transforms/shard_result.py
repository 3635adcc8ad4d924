"""What became of a shard, and of several pieces of one together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tawt.contracts.dataset import SPLITS
from tawt.contracts.value_status import STATUS_NAMES
from tawt.transforms.some_subjects import Piece
from tawt.transforms.units import PairRules

Counts = Iterable[tuple[Any, int]]


@dataclass(frozen=True)
class ShardResult:
    """What became of one shard."""

    n_rows: dict[str, int]
    """Split -> rows written; a split without subjects has no file."""
    duplicates: dict[str, int]
    """Event part -> rows dropped as equal to an earlier one."""
    unit_rules: dict[str, int]
    """Unit rule -> rows it was applied to."""
    statuses: dict[str, int]
    """value_status -> rows."""
    pairs: list[tuple[str, str | None]]
    """The data_types and units as they came that have numbers."""
    rules: str
    """What their rules are known by."""
    numbers: list[tuple[int, int, int]]
    """Index of one of `pairs`, of a status, and rows with a number that have both."""
    texts: list[tuple[str, int, int, int]]
    """Of each code with categories, how many they are, and how many are numbers by their text: see `number_texts`."""
    people: dict[str, int]
    """Code, sorted -> subjects that have it, each of one shard; of a code that many have, at least as many."""
    people_of_pairs: list[tuple[int, int]]
    """Index of one of `pairs`, and subjects with a number of it."""


def together(results: Sequence[ShardResult], pieces: Sequence[Piece | None], rules: PairRules) -> ShardResult:
    """Return what became of a shard, of its pieces: a subject counts once, in however many it is."""
    met = sorted({rules.index[pair] for one in results for pair in one.pairs})
    place, pairs = {index: i for i, index in enumerate(met)}, rules.pairs(met)

    def at(one: ShardResult, pair: int) -> int:
        return place[rules.index[one.pairs[pair]]]

    of_status = _summed([((at(one, p), status), n) for p, status, n in one.numbers] for one in results)
    of_pairs = [[(at(one, p), n) for p, n in one.people_of_pairs] for one in results]
    texts: dict[str, list[int]] = {}
    for code, *counts in (row for one in results for row in one.texts):
        texts[code] = [a + b for a, b in zip(texts.get(code, [0] * len(counts)), counts, strict=True)]
    ranked = [STATUS_NAMES.index(name) for one in results for name in one.statuses]
    statuses = _summed(one.statuses.items() for one in results)
    return ShardResult(
        n_rows={split: n for split in SPLITS if (n := sum(one.n_rows.get(split, 0) for one in results))},
        duplicates=_summed(one.duplicates.items() for one in results),
        unit_rules=_summed(one.unit_rules.items() for one in results),
        statuses={STATUS_NAMES[i]: statuses[STATUS_NAMES[i]] for i in sorted({*ranked})},
        pairs=pairs, rules=rules.known(pairs), numbers=[(*key, n) for key, n in of_status.items()],
        texts=[(code, *texts[code]) for code in sorted(texts)],  # type: ignore[misc]
        people=_summed(_once([one.people.items() for one in results], pieces)),
        people_of_pairs=[*_summed(_once(of_pairs, pieces)).items()],
    )  # fmt: skip


def _summed(counts: Iterable[Counts]) -> dict[Any, int]:
    total: Counter[Any] = Counter()
    for one in counts:
        for key, n in one:
            total[key] += n
    return {key: total[key] for key in sorted(total)}


def _once(counts: Sequence[Counts], pieces: Sequence[Piece | None]) -> Iterator[Counts]:
    """Yield counts of people less those of whom an earlier piece was another part."""
    met = set[tuple[int, Any]]()
    for piece, one in zip(pieces, counts, strict=True):
        if piece is not None and piece.is_part:
            one = [(key, n) for key, n in one if (piece.first, key) not in met]
            met.update((piece.first, key) for key, _ in one)
        yield one
