-- A day; of a day with a time behind it, the day.
create macro calendar_day(cell, zone := null) as
    case
        when length(cell) = 10 and substr(cell, 5, 1) = '-' and cell between '1' and '9'
            then try_strptime(cell, '%Y-%m-%d')::date
        else moment(cell, zone)::date
    end
