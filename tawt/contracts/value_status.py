"""`value_status`: what a triplet's value is, or why there is none. The numbers are part of the shard format."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class ValueStatus(IntEnum):
    """The explicit state of a value; nothing is ever imputed."""

    NONE = 0
    """The data_type carries no value."""
    NUMERIC = 1
    """A number, in the data_type's canonical unit."""
    CATEGORY = 2
    """A text of the data_type's own dictionary."""
    ABSENT = 3
    """The row is there, its value cell is empty."""
    UNPARSED = 4
    """The cell holds something that is not a number where one belongs."""
    UNIT_UNKNOWN = 5
    """The number is in a unit that no rule converts to the canonical one."""
    OUT_OF_RANGE = 6
    """The number is outside the plausible range."""
    CENSORED_LOW = 7
    """Below a bound (`<0.01`); the bound is kept as the value."""
    CENSORED_HIGH = 8
    """Above a bound (`>1000`); the bound is kept as the value."""
    NOT_MEASURED = 9
    """Expected by a declared panel in a window, and no row came."""


STATUS_NAMES = tuple(status.name.lower() for status in ValueStatus)
"""Names in the order of their numbers, as the `value_status` column of events writes them."""

HAS_NUMBER = (ValueStatus.NUMERIC, ValueStatus.CENSORED_LOW, ValueStatus.CENSORED_HIGH)
"""The states in which `value` is a real number."""

HAS_NUMBER_OF = np.isin(np.arange(len(ValueStatus)), HAS_NUMBER)
"""`(10,)` bool by status, the same."""

STATUS_SUBJECTS = b"status_subjects"
"""Metadata of a vocabulary: subjects of train with each status, a JSON list in the order of their numbers; 0 of
`not_measured`, which panels add later."""
