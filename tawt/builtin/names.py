"""Whether what a pipeline says of data_types is of any that there are."""

from __future__ import annotations

from collections.abc import Mapping

from tawt.builtin.meds_metadata import code_dictionary
from tawt.config.load import read_yaml
from tawt.contracts.cells import SMALL_CELL
from tawt.errors import ConfigError, closest
from tawt.project import asset_root
from tawt.sources.stage import Bound

_NAMED = 5


def hold_codes(bound: Bound, people: Mapping[str, int]) -> list[str]:
    """Return what is to be said of data_types that a pipeline names and no event has.

    An extract, or a sample, may lack what a dictionary of the source knows, or a pipeline of it which comes with tawt:
    this one is that, or extends it. What neither knows is a mistake.

    Args:
        bound: The stage of events.
        people: Data_type -> subjects that have it. One of few is named to nobody.

    Raises:
        ConfigError: A data_type exists nowhere.
    """
    declared = bound.pipeline.data_types
    missing = [code for code in declared if code not in people]
    if not missing:
        return []
    known = code_dictionary(bound, missing, own=False)
    if nowhere := [code for code in missing if code not in known]:
        of_tawt = _of_tawt(bound.pipeline.source)
        nowhere = [code for code in nowhere if code not in of_tawt]
    if nowhere and bound.settings.sample is None:
        near = closest(nowhere[0], [code for code, n in people.items() if n > SMALL_CELL])
        raise ConfigError(
            f"data_types.{nowhere[0]}", "is of no event and in no dictionary, expected a data_type that is there",
            near or "mend its name, or take it out of `data_types:`",
        )  # fmt: skip
    missing = [*nowhere, *(code for code in missing if code not in nowhere)]
    more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
    return [f"no event has {', '.join(missing[:_NAMED])}{more}, of which `data_types:` speaks"]


def _of_tawt(source: str) -> set[str]:
    """The data_types that pipelines of a source know which come with tawt."""
    read = [read_yaml(path)[0] for path in (asset_root() / "pipelines").glob("*.yaml")]
    return {code for one in read if one.get("source") == source for code in one.get("data_types") or ()}
