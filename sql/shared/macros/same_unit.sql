-- Whether two units may be one, by their letters alone; where one is not told, they may.
create macro same_unit(one, other) as one is null or other is null or unit_letters(one) = unit_letters(other)
