-- Why nothing was read from a cell.
create macro unread(cell) as
    case when clock_time(before_offset(cell)) is not null then 'unparseable_zone' else 'unparseable' end
