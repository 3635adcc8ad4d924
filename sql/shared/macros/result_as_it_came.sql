-- The cell of a result, where neither its number nor its text already says it.
create macro result_as_it_came(status, said, cell) as
    case
        when status = 'numeric' and said <> cell and number(said) is null then said
        when starts_with(status, 'censored') then said
        when status = 'unparsed' and number(cell) is null then coalesce(words(cell), said)
        when status = 'unparsed' then coalesce(said, words(cell))
    end
