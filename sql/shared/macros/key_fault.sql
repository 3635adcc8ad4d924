-- Why a record cannot be used, from a cell that it cannot do without and what was read from it; null where it can.
create macro key_fault(name, cell, read, low := null, high := null) as
    case
        when read is null then 'quarantine:' || name || ':' || case when words(cell) is null then 'missing' else unread(cell) end
        when read not between low and high then 'quarantine:' || name || ':out_of_range'
    end
