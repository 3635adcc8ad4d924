-- A time in one of the forms given, of the years 1000 to 8999.
-- Three words are left out by name: the engine reads them as 1900-01-01 in any form.
create macro formed_time(cell, forms) as
    case
        when lower(cell) in ('epoch', 'infinity', '-infinity') then null
        when try_strptime(cell, forms) between timestamp '1000-01-01' and timestamp '8999-12-31 23:59:59.999999'
            then try_strptime(cell, forms)
    end
