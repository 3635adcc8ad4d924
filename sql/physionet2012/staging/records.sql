-- One row is one line of a stay's file: a trait at admission, a measurement of the first 48 hours, or another stay's id.
-- source: PhysioNet Challenge 2012, data description (https://physionet.org/content/challenge-2012/1.0.0/)

with records as (
    select _row, _member, "Time" as clock, "Parameter" as parameter, "Value" as value
    from raw.records
),

-- A name that is not a whole number is refused: a cast would round it to another stay's. The clock counts hours and minutes since admission and goes on past 24:00.
typed as (
    select
        _row,
        _member as member,
        clock,
        nullif(trim(parameter), '') as parameter,
        nullif(trim(value), '') as value_text,
        case when regexp_full_match(trim(_member), '[+-]?[0-9]+') then try_cast(_member as bigint) end as subject,
        case when substr(clock, -3, 1) = ':' then try_cast(left(clock, -3) as integer) end as hours,
        case when substr(clock, -3, 1) = ':' then try_cast(right(clock, 2) as integer) end as minutes,
        try_cast(value as double) as number
    from records
),

-- -1 is how the source writes that a trait or the weight is not known; elsewhere it is a number like any other.
judged as (
    select
        *,
        hours between 0 and 9999 and minutes between 0 and 59 as is_clock,
        case
            when value_text is null then 'absent'
            when number = -1 and parameter in ('Age', 'Gender', 'Height', 'ICUType', 'Weight') then 'absent'
            when isfinite(number) then 'numeric'
            else 'unparsed'
        end as status
    from typed
)

-- A file's own id is dropped where it is that of its name; where it is not, event_parts holds the whole file back.
select
    subject::bigint as subject_id,
    (case when is_clock then hours * 60 + minutes end)::integer as minutes_since_admission,
    parameter::varchar as parameter,
    (case when status = 'numeric' then number end)::double as numeric_value,
    (case when status = 'unparsed' then value_text end)::varchar as raw_value,
    status::varchar as value_status,
    _row::bigint as _row,
    (case
        when member is null then 'quarantine:_member:missing'
        when subject is null then 'quarantine:_member:unparseable'
        when parameter is null then 'quarantine:Parameter:missing'
        when parameter = 'RecordID' and coalesce(number = subject, value_text is null) then 'drop:record_id_row'
        when clock is null then 'quarantine:Time:missing'
        when is_clock is not true then 'quarantine:Time:unparseable'
    end)::varchar as _reason
from judged
