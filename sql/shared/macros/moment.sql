-- A day and a time on it, read from its first letter to its last: year, month, day, then hours and minutes if any.
-- AM and PM are understood. A time with `Z` or an offset is told in the zone of the source, and is none without one.
-- The usual form is told by its length and a colon; `infinity`, `epoch` and the years 1 and 9999 are in no form.
-- The others stand within a `case`: what is asked for twice is computed for every row elsewhere.
create macro moment(cell, zone := null) as
    coalesce(
        case when length(cell) = 19 and substr(cell, 17, 1) = ':' and cell between '1' and '9'
            then try_strptime(cell, '%Y-%m-%d %H:%M:%S')
        end,
        case when cell is not null
            then coalesce(clock_time(trim(cell)), in_zone(clock_time(before_offset(cell)), offset_of(cell), zone))
        end
    )
