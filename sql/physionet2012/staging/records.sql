-- One row is one line of a stay's file: a trait at admission, a measurement of the first 48 hours, or another stay's id.
-- source: PhysioNet Challenge 2012, data description (https://physionet.org/content/challenge-2012/1.0.0/)

with read as (
    select
        _row,
        _member,
        whole(_member) as subject_id,
        "Time" as clock,
        whole(left("Time", -3)) as hours,
        whole(right("Time", 2)) as minutes,
        words("Parameter") as parameter,
        words("Value") as said,
        number("Value") as counted
    from raw.records
),

-- The clock counts hours and minutes since admission and goes on past 24:00.
-- -1 is how the source writes that a trait or the weight is not known; elsewhere it is a number like any other.
judged as (
    select
        *,
        case
            when substr(clock, -3, 1) = ':' and hours between 0 and 9999 and minutes between 0 and 59
                then hours * 60 + minutes
        end as minutes_since_admission,
        case
            when said is null then 'absent'
            when counted = -1 and parameter in ('Age', 'Gender', 'Height', 'ICUType', 'Weight') then 'absent'
            when counted is not null then 'numeric'
            else 'unparsed'
        end as value_status
    from read
)

-- A file's own id is dropped where it is that of its name; where it is not, event_parts holds the whole file back.
select
    subject_id,
    minutes_since_admission,
    parameter,
    case when value_status = 'numeric' then counted end as numeric_value,
    case when value_status = 'unparsed' then said end as raw_value,
    value_status,
    _row,
    coalesce(
        key_fault('_member', _member, subject_id),
        case
            when parameter is null then 'quarantine:Parameter:missing'
            when parameter = 'RecordID' and coalesce(counted = subject_id, said is null) then 'drop:record_id_row'
        end,
        key_fault('Time', clock, minutes_since_admission)
    ) as _reason
from judged
