"""How good predictions are, with what chance leaves open, and beside what is simpler."""
