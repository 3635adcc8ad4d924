-- One row is whether the person of one stay died within a time of the admission to the ICU, asked after 48 hours.
-- source: PhysioNet Challenge 2012, outcomes (https://physionet.org/content/challenge-2012/1.0.0/)

with outcomes as (
    from staging.outcomes
),

-- Days until death are counted from the admission, -1 is a person of whom no death is on record: 30 and 90 days, a year.
-- All are taken to be followed for that year, so nobody is censored before: see `survival`.
asked as (
    select *, unnest([30, 90, 365]) as days from outcomes
)

select
    subject_id, $pseudo_epoch::timestamp + interval 48 hours as prediction_time,
    survival between 0 and days as boolean_value, 24.0 * days as horizon_hours, _row,
    case when survival is null then 'drop:missing_outcome'
         when survival = -1 and in_hospital_death then 'drop:missing_outcome' end as _reason
from asked
