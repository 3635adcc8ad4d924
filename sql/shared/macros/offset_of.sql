-- The minutes by which the clock of a time with a zone is ahead, from the `Z`, UTC, GMT or offset behind it.
create macro offset_of(cell) as
    case
        when regexp_matches(cell, '([Zz]|UTC|GMT)\s*$') then 0
        else (case when regexp_extract(cell, '([-+])[0-9:]+\s*$', 1) = '-' then -1 else 1 end) * (
            60 * whole(regexp_extract(cell, '[-+]([0-9]{2})(?::?[0-9]{2})?\s*$', 1))
            + coalesce(whole(regexp_extract(cell, '[-+][0-9]{2}:?([0-9]{2})\s*$', 1)), 0)
        )
    end
