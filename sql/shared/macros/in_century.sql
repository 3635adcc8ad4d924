-- A time whose year was read from two digits, as one of the hundred years up to the last moment that can be.
-- What is read is a year of 1969 to 2068. A 29th of February that the other century does not have is no day.
create macro in_century(read_as, latest) as
    case
        when read_as is null then null
        when years_back(read_as, latest) = 0 then read_as
        when day(read_as - to_years(years_back(read_as, latest))) = day(read_as)
            then read_as - to_years(years_back(read_as, latest))
    end
