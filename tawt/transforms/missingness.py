"""The triplets that say "expected, and not measured": added by a panel's rule, never in place of a value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from tawt.config.pipeline import Panel
from tawt.contracts.dataset import US_PER_HOUR
from tawt.contracts.value_status import ValueStatus
from tawt.transforms.columns import NO_TIME


def not_measured(
    columns: dict[str, np.ndarray],
    expected: npt.NDArray[np.int64],
    panel: Panel,
    starts: npt.NDArray[np.int64] | None,
) -> dict[str, np.ndarray]:
    """Return one `not_measured` triplet per window and expected data_type without a row in it.

    A window is half open, `(start + (k - 1) w, start + k w]`, the first one closed on both sides; it counts only if
    the subject's record reaches its end. The triplet stands at the window's end and is available then.

    Args:
        columns: The shard's triplets, by column.
        expected: The panel's data_types.
        panel: Its window and its cap.
        starts: Rows that open a series of windows; None = each subject's first timed row.
    """
    timed = columns["timestamp"] != NO_TIME
    rows = pl.DataFrame({key: columns[key][timed] for key in ("subject_id", "timestamp", "data_type")})
    last = rows.group_by("subject_id").agg(pl.col("timestamp").max().alias("last"))
    if starts is None:
        opened = rows.group_by("subject_id").agg(pl.col("timestamp").min().alias("start"))
    else:
        opened = pl.DataFrame({"subject_id": columns["subject_id"][starts], "start": columns["timestamp"][starts]})
    width = round(panel.window_hours * US_PER_HOUR)
    windows = (
        opened.unique()
        .join(pl.DataFrame({"k": np.arange(1, panel.max_windows + 1)}), how="cross")
        .with_columns((pl.col("start") + pl.col("k") * width).alias("end"))
        .join(last, on="subject_id")
        .filter(pl.col("end") <= pl.col("last"))
        .join(pl.DataFrame({"data_type": expected}), how="cross")
    )
    measured = (
        windows.join(rows.filter(pl.col("data_type").is_in(expected.tolist())), on=["subject_id", "data_type"])
        .filter(
            (pl.col("timestamp") <= pl.col("end"))
            & (
                (pl.col("timestamp") > pl.col("end") - width)
                | ((pl.col("k") == 1) & (pl.col("timestamp") == pl.col("start")))
            )
        )
        .select("subject_id", "start", "k", "data_type")
        .unique()
    )
    missing = windows.join(measured, on=["subject_id", "start", "k", "data_type"], how="anti").select(
        "subject_id", "end", "data_type"
    ).unique().sort("subject_id", "end", "data_type")  # fmt: skip
    n = len(missing)
    return {
        "subject_id": missing["subject_id"].to_numpy(),
        "timestamp": missing["end"].to_numpy(),
        "data_type": missing["data_type"].to_numpy(),
        "value": np.zeros(n, dtype=np.float32),
        "value_token": np.zeros(n, dtype=np.int64),
        "value_status": np.full(n, ValueStatus.NOT_MEASURED, dtype=np.uint8),
        "available_time": missing["end"].to_numpy(),
    }
