-- A whole number: digits, perhaps a sign or blanks around them, nothing else.
-- What prints as it came is one; only the rest is looked at letter by letter.
create macro whole(cell) as
    case
        when try_cast(cell as bigint)::varchar = cell then try_cast(cell as bigint)
        when regexp_full_match(trim(cell), '\s*[-+]?[0-9]+\s*') then try_cast(trim(cell) as bigint)
    end
