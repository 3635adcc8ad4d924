"""A task answered by what may come of records: what is asked, of which, what it gives, and what is checked of that."""
