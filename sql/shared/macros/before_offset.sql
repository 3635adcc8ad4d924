-- What stands before the `Z`, UTC, GMT or offset (`+01:00`, `-0500`) behind a time; an empty text where there is none.
create macro before_offset(cell) as
    regexp_extract(cell, '^\s*(.*:.*[0-9Mm])\s*(?:[Zz]|UTC|GMT|[-+][0-9]{2}(?::?[0-9]{2})?)\s*$', 1)
