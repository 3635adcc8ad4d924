-- When what is told of a day is known: at its end, where a moment is the day alone; a time on it stays as it is.
create macro end_of_day(seen) as case when seen = seen::date then seen + interval '23:59:59' else seen end
