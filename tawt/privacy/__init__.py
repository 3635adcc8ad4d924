"""How safe synthetic patients are: attacks on those whom they were learned from, and what the attacks may say."""
