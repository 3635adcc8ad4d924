-- How many decimals a number is written with; with an exponent more than can be told.
create macro decimals(cell) as
    case when regexp_matches(cell, '[0-9][eE][-+]?[0-9]') then 20 else length(regexp_extract(cell, '[.,]([0-9]+)', 1)) end
