-- The same in forms that the source declares, as ['%d.%m.%Y'].
create macro calendar_day_as(cell, forms, zone := null) as moment_as(cell, forms, zone)::date
