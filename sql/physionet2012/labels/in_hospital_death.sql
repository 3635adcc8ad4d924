-- One row is whether the person of one stay died in the hospital, asked after the first 48 hours.
-- source: PhysioNet Challenge 2012, outcomes (https://physionet.org/content/challenge-2012/1.0.0/)

with outcomes as (
    select _row, subject_id, in_hospital_death
    from staging.outcomes
)

select
    subject_id::bigint as subject_id,
    ($pseudo_epoch::timestamp + interval 48 hours)::timestamp as prediction_time,
    in_hospital_death::boolean as boolean_value,
    _row::bigint as _row,
    (case when in_hospital_death is null then 'drop:missing_outcome' end)::varchar as _reason
from outcomes
