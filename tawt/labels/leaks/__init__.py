"""Leaks by name, and those that events, labels and the records behind them show."""
