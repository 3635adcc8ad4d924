"""Run folders made by hand."""

from tests.unit.run_folders import config, make_run, metrics_line, workspace  # noqa: F401
