-- One row is when the person of one stay died, or up to when that is known not to have happened, asked after 48 hours.
-- source: PhysioNet Challenge 2012, outcomes (https://physionet.org/content/challenge-2012/1.0.0/)

with outcomes as (
    from staging.outcomes
),

-- Days until death are counted from the admission to the ICU, -1 is a person of whom no death is on record. How long
-- anybody was looked for is not told: all are followed for a year and censored then, as is whoever died later.
followed as (
    select *, coalesce(survival between 0 and 365, false) as died from outcomes
)

-- A day is all that is known of a death. Each lies after the 48 hours: one of the second day counts half a day later.
select
    subject_id, $pseudo_epoch::timestamp + interval 48 hours as prediction_time, died as boolean_value,
    case when died then greatest(24.0 * survival - 48, 12) else 24.0 * 365 - 48 end as duration_hours, _row,
    case when survival is null then 'drop:missing_outcome'
         when survival = -1 and in_hospital_death then 'drop:missing_outcome' end as _reason
from followed
