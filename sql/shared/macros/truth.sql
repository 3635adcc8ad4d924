-- Yes or no, as 1, true, yes, ja, x or 0, false, no, nein; anything else, such as 0.5 or 2, is neither.
create macro truth(cell) as
    case
        when lower(trim(cell)) in ('1', 'true', 't', 'yes', 'y', 'x', 'ja', 'j', 'oui', 'si', 'sí') then true
        when lower(trim(cell)) in ('0', 'false', 'f', 'no', 'n', 'nein', 'non', 'nee') then false
    end
