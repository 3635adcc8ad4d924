-- One row is how many days one stay in the hospital lasted, asked after the first 48 hours.
-- source: PhysioNet Challenge 2012, outcomes (https://physionet.org/content/challenge-2012/1.0.0/)

with outcomes as (
    select _row, subject_id, length_of_stay
    from staging.outcomes
)

select
    subject_id::bigint as subject_id,
    ($pseudo_epoch::timestamp + interval 48 hours)::timestamp as prediction_time,
    length_of_stay::bigint as integer_value,
    _row::bigint as _row,
    (case when length_of_stay is null then 'drop:missing_outcome' end)::varchar as _reason
from outcomes
