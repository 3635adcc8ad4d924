-- The number of a result; the bound where it is a comparison.
create macro result_number(status, said, counted) as
    case
        when status = 'numeric' then coalesce(counted, number(said))
        when starts_with(status, 'censored') then coalesce(bound(said), counted)
    end
