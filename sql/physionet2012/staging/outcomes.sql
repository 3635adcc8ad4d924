-- One row is the outcome of one stay.
-- source: PhysioNet Challenge 2012, outcomes (https://physionet.org/content/challenge-2012/1.0.0/)

with outcomes as (
    select
        _row,
        "RecordID" as record_id,
        "Length_of_stay" as length_of_stay,
        "In-hospital_death" as in_hospital_death
    from raw.outcomes
),

typed as (
    select
        *,
        case when regexp_full_match(trim(record_id), '[+-]?[0-9]+') then try_cast(record_id as bigint) end as subject,
        try_cast(length_of_stay as integer) as stay_days,
        try_cast(in_hospital_death as integer) as death
    from outcomes
)

-- -1 stands for not known.
select
    subject::bigint as subject_id,
    nullif(stay_days, -1)::integer as length_of_stay,
    (case death when 0 then false when 1 then true end)::boolean as in_hospital_death,
    _row::bigint as _row,
    (case
        when record_id is null then 'quarantine:RecordID:missing'
        when subject is null then 'quarantine:RecordID:unparseable'
        when length_of_stay is not null and stay_days is null then 'quarantine:Length_of_stay:unparseable'
        when stay_days < -1 then 'quarantine:Length_of_stay:out_of_range'
        when in_hospital_death is not null and death is null then 'quarantine:In-hospital_death:unparseable'
        when death not in (-1, 0, 1) then 'quarantine:In-hospital_death:out_of_range'
    end)::varchar as _reason
from typed
