"""Events in a form that others read."""
