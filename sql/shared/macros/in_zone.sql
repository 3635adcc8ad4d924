-- A time of a clock that is ahead by so many minutes, as the clock of a zone tells it; null where no zone is given.
create macro in_zone(local, ahead, zone) as
    case
        when ahead between -840 and 840
            then timezone(zone::varchar, timezone('UTC', local - to_minutes(ahead)))
    end
