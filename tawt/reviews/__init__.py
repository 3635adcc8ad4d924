"""Real and invented records put before people who do not know which is which, and what they said of them."""
