-- Yes or no: 1, true, t, yes, y or 0, false, f, no, n; anything else, such as 0.5 or 2, is neither.
create macro truth(cell) as
    case
        when lower(trim(cell)) in ('1', 'true', 't', 'yes', 'y') then true
        when lower(trim(cell)) in ('0', 'false', 'f', 'no', 'n') then false
    end
