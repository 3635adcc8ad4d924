-- A finite number; `1_000`, `nan` and `inf` are none.
create macro number(cell) as
    case when isfinite(try_cast(cell as double)) and not contains(cell, '_') then try_cast(cell as double) end
