-- Why nothing was read from a cell: a time of a zone without one, a year that stands for none (0001, 9999), or no sense.
create macro unread(cell) as
    case
        when clock_time(before_offset(cell)) is not null then 'unparseable_zone'
        when left(trim(cell), 1) in ('0', '9') and clock_time('2' || substr(trim(cell), 2)) is not null then 'out_of_range'
        else 'unparseable'
    end
