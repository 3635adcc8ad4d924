-- A day with the time of another cell on it, as `8:15` or `13:45:00`; the day alone where that cell says no time.
create macro day_and_clock(day, clock) as coalesce(moment(strftime(day, '%Y-%m-%d ') || trim(clock)), day)
