"""Contents and the record, in one answer."""
