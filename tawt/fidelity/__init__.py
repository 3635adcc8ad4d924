"""How like real records invented ones are: each measure beside what real ones have among themselves."""
