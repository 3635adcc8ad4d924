-- A cell whose number has a comma before its decimals, as `5,4` or `<0,1`, with a point there; any other as it is.
create macro with_point(cell) as
    regexp_replace(cell, '^(\s*[<>]?=?\s*[-+]?\d+),(\d+\s*)$', '\1.\2')
