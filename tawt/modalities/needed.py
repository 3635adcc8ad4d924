"""What decodes files is an extra: who has no images needs none of it."""

from __future__ import annotations

import importlib
import logging
import warnings
from typing import Any

from tawt.errors import StageError


def needed(module: str, package: str) -> Any:
    """Return a module of a package of the extra `images`.

    Raises:
        StageError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        what = f"{package} cannot be imported, expected it to decode images with"
        raise StageError("contents", what, 'pip install "tawt[images]"') from None


def quieted(package: str) -> None:
    """Let a package say nothing by itself: its remarks quote what files hold."""
    # not for a while alone: what is set for a while holds for other threads too, and may outlive it
    warnings.filterwarnings("ignore", module=rf"({package}|tawt\.modalities)(\..*)?$")
    logging.getLogger(package).setLevel(logging.CRITICAL + 1)
