-- What a result is, from its text, the number read beside it, and that number's cell.
-- Most numbers stand there twice, as text and as number: nothing else is asked of these.
create macro result_status(said, counted, cell) as
    case
        when counted is not null and said = cell then 'numeric'
        when side(said) is not null and coalesce(bound(said), counted) is not null then side(said)
        when counted is not null then 'numeric'
        when words(cell) is not null then 'unparsed'
        when number(said) is not null then 'numeric'
        when try_cast(said as double) is not null then 'unparsed'
        when said is not null then 'category'
        else 'absent'
    end
