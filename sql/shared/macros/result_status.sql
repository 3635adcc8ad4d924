-- What a result is, from its text, the number read beside it, and that number's cell.
-- Most numbers stand there twice, as text and as number: nothing else is asked of these.
-- A bound whose own unit is another than that of the column says two things, and is no number of either; so do two bounds,
-- and a text that says another number than the number beside it.
create macro result_status(said, counted, cell, unit := null) as
    case
        when counted is not null and said = cell then 'numeric'
        when contradicts(said, counted, cell) or (side(said) is not null and is_interval(said)) then 'unparsed'
        when side(said) is not null and coalesce(bound(said), counted) is not null
            then case when same_unit(bound_unit(said), unit) then side(said) else 'unparsed' end
        when counted is not null then 'numeric'
        when words(cell) is not null then 'unparsed'
        when number(said) is not null then 'numeric'
        when try_cast(said as double) is not null then 'unparsed'
        when said is not null then 'category'
        else 'absent'
    end
