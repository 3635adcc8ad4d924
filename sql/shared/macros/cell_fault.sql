-- Why a cell was left out of a record that is kept without it; null where it was not, or was empty.
create macro cell_fault(name, cell, read, low := null, high := null) as
    case
        when read is null then case when words(cell) is not null then name || ':' || unread(cell) end
        when read not between low and high then name || ':out_of_range'
    end
