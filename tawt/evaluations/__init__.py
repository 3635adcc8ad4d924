"""How well runs answer a label set: what each says, what is simpler beside them, and what all of it comes to."""
