"""Forms in which a column writes its days and times."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from tawt.contracts.raw_column import RawColumn

FORMS = {
    "%d.%m.%Y %H:%M:%S.%f": True, "%-d %b %Y %I:%M %p": True, "%Y-%j": True, "%a %d.%m.%Y": True, "%Y": True, "%d.%m.%-y": True,
    "%%%y %%": True, "%%y": False, "%d.%m.%%Y": False, "%d.%M.%Y": False, "%d %Y": False, "%d.%d.%Y": False, "%m.%b.%Y": False,
    "%I:%M %Y": False, "%H:%M %p %Y": False, "%Y %y": False, "%Y %j %d": False, "%Y %W": False, "%-Y": False, "%Y%": False,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_form_says_a_time_or_is_refused(form: str) -> None:
    """Its year, and nothing twice or without its whole; two digits of a year need a century, with a `-` before them too."""
    with nullcontext() if FORMS[form] else pytest.raises(Exception, match="is no form"):
        RawColumn(name="t", type="timestamp[us]", format=(form,), high="2025-12-31")
    if "y" in form and FORMS[form]:
        with pytest.raises(Exception, match="of no century"):
            RawColumn(name="t", type="timestamp[us]", format=(form,))
