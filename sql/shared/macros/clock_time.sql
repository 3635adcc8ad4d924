-- A day, and perhaps a time on it with or without AM or PM, without blanks around it and without a zone.
create macro clock_time(cell) as
    case
        when regexp_full_match(
            cell, '[1-8][0-9]{3}[-/][0-9]{1,2}[-/][0-9]{1,2}([ T]+[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)?'
        ) then try_cast(cell as timestamp)
        when regexp_full_match(cell, '[1-8][0-9]{3}-[0-9]{1,2}-[0-9]{1,2} +[0-9].*[AaPp][Mm]') then try_strptime(
            cell,
            [
                '%Y-%m-%d %I:%M:%S %p', '%Y-%m-%d %I:%M:%S%p', '%Y-%m-%d %I:%M %p', '%Y-%m-%d %I:%M%p',
                '%Y-%m-%d %I:%M:%S.%f %p'
            ]
        )
    end
