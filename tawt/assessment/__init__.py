"""Whether a synthetic set is like real records, whether it gives anybody away, and a page that says so."""
