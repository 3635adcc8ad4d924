-- The same in forms that the source declares, as ['%d.%m.%Y %H:%M', '%d.%m.%Y'].
create macro moment_as(cell, forms, zone := null) as
    case
        when try_strptime(trim(cell), forms) is not null then formed_time(trim(cell), forms)
        else in_zone(formed_time(before_offset(cell), forms), offset_of(cell), zone)
    end
