-- What a day lost that was read from a cell with a time on it; null where that is midnight, or there is none.
create macro clock_fault(name, cell, seen) as
    case when length(trim(cell)) > 10 and seen <> seen::date then name || ':time_of_day_lost' end
