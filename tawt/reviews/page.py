"""The page: one file that needs no network, shows one record at a time and keeps what is answered."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape as escaped
from pathlib import Path
from string import Template

from tawt.errors import printable
from tawt.reviews.timeline import Fact, Row, Sheet, Trend, when
from tawt.reviews.trend import picture, told

_HOUR, _DAY = 60, 1440


def page(review: str, items: Sequence[str]) -> str:
    """Return the page.

    Args:
        review: What the review is known by; answers are held to it.
        items: The records, see `item`, in their order.
    """
    style, script = (_part(name) for name in ("page.css", "page.js"))
    # were a name not written as text, the browser would still run nothing but the script that is ours
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'"
    articles = "\n".join(
        f'<article id="record-{i}" aria-label="Record {i}"{" hidden" * (i > 1)}>\n{one}\n</article>'
        for i, one in enumerate(items, 1)
    )
    return Template(_part("page.html")).substitute(
        review=_text(review), n=len(items), style=style, script=script, policy=f"{policy}; form-action 'none'",
        records=articles,
    )  # fmt: skip


def item(sheet: Sheet) -> str:
    """Return one record; it hangs on nothing but the sheet, so not on whose it is, nor on its place in the page."""
    parts = [
        f'<dl class="facts">{"".join(map(_static, sheet.facts))}</dl>',
        f'<p class="quiet">{sheet.n_entries:,} entries over {_span(sheet.minutes)}</p>',
    ]
    if sheet.trends:
        drawn = "\n".join(_trend(trend, sheet.axis) for trend in sheet.trends)
        short = ", pauses of more than a day shortened" if sheet.axis < sheet.trend_minutes else ""
        until = f'<span class="quiet">from the start to {when(sheet.trend_minutes, 1)}{short}</span>'
        parts.append(f'<h3>What was measured often {until}</h3>\n<div class="trends">\n{drawn}\n</div>')
    if sheet.rows:
        rows = "\n".join(map(_row, sheet.rows))
        parts.append(f"<h3>What came when</h3>\n<table>\n<tbody>\n{rows}\n</tbody>\n</table>")
    return "\n".join(parts)


def _static(fact: Fact) -> str:
    value = f"<dd{_class(fact)}>{_text(fact.text)}</dd>" if fact.text else ""
    return f"<div><dt>{_text(fact.name)}</dt>{value}</div>"


def _trend(trend: Trend, axis: int) -> str:
    caption = f"<span>{_text(trend.name)}</span><span>{_text(told(trend))}</span>"
    return f"<figure><figcaption>{caption}</figcaption>{picture(trend, axis)}</figure>"


def _row(row: Row) -> str:
    return f'<tr><th scope="row">{_text(row.when)}</th><td>{" ".join(map(_fact, row.facts))}</td></tr>'


def _fact(fact: Fact) -> str:
    at = f' <span class="quiet">{_text(fact.at)}</span>' if fact.at else ""
    if not fact.text:
        return f'<span class="happened">{_text(fact.name)}{at}</span>'
    return f'<span><span class="name">{_text(fact.name)}</span> <b{_class(fact)}>{_text(fact.text)}</b>{at}</span>'


def _class(fact: Fact) -> str:
    return ' class="missing"' if fact.missing else ""


def _span(minutes: int) -> str:
    if minutes < _HOUR:
        return f"{minutes} minutes"
    if minutes < 3 * _DAY:
        return f"{minutes // _HOUR} hours"
    days = minutes // _DAY
    return f"{days:,} days" if days < 730 else f"{days / 365.2425:.1f} years"


def _text(text: str) -> str:
    """Return a text that came with the data as HTML says it: no mark-up, nothing that hides or turns what follows."""
    return escaped(printable(text))


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
