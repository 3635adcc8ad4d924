-- Why nothing was read from a cell: a time of a zone without one, a year that stands for none (0001, 9999), or no sense.
-- A zone that is only named, as `EST`, `Europe/Paris` or `UTC+1`, is never read: its clock may be that of many places.
create macro unread(cell) as
    case
        when clock_time(before_offset(cell)) is not null then 'unparseable_zone'
        when clock_time(
            regexp_extract(
                cell,
                '^\s*([0-9].*:[0-9.:]*[0-9](?: ?[AaPp][Mm])?)\s*(?:(?:UTC|GMT)?[-+][0-9]{1,2}(?::?[0-9]{2})?|[A-Z]{3,5}|[A-Za-z]+(?:/[A-Za-z0-9_+-]+)+)\s*$',
                1
            )
        ) is not null then 'unparseable_zone'
        when left(trim(cell), 1) in ('0', '9') and clock_time('2' || substr(trim(cell), 2)) is not null then 'out_of_range'
        else 'unparseable'
    end
