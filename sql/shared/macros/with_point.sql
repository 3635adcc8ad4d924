-- A cell whose number is written otherwise, as `1.234,5` or `<0,1 mg/l`, with a point before its decimals and no other sign.
-- One of digits, commas and points that is not written so is null: a guess would make another number of it.
create macro with_point(cell, decimal := ',', thousands := '.') as
    case
        when regexp_full_match(
            regexp_replace(cell, '^(\s*[<>].*?)\s*[A-Za-z%µ][^.,]*$', '\1'),
            '\s*(?:[<>]=?\s*)?[-+]?(?:\d*' || coalesce('|\d{1,3}(?:[' || nullif(thousands, '') || ']\d{3})+', '') || ')'
            || coalesce('(?:[' || nullif(decimal, '') || ']\d+)?', '') || '(?:[eE][-+]?\d+)?\s*'
        ) then replace(replace(cell, thousands, ''), decimal, '.')
        when not regexp_full_match(
            cell, '\s*[-+]?[\d.,]*[.,][\d.,]*(?:[eE][-+]?\d+)?\s*|\s*(?:[<>]|(?i:less|greater) than)[^:]*[.,].*'
        ) then cell
    end
