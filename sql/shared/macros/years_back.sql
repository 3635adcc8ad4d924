-- How many years a time that was read from two digits lies beyond the hundred that end at the last moment: whole centuries.
create macro years_back(read_as, latest) as
    case
        when read_as > latest then 100 * ceil(date_sub('year', latest, read_as - interval 1 microsecond) / 100 + 0.01)::integer
        when read_as <= latest - to_years(100) then -100
        else 0
    end
