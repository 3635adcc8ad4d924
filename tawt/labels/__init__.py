"""Tasks to labels: an ACES file becomes one select, its result is held to what labels must be, leaks are named."""
