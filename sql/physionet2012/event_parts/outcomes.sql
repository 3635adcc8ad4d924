-- One row is how one stay in the hospital ended, by death or discharge, on the day that is told.
-- source: PhysioNet Challenge 2012, outcomes (https://physionet.org/content/challenge-2012/1.0.0/)

-- It is off unless asked for: a model that is pretrained on it has seen what the challenge asks for. No stay of the
-- challenge ended within its first 48 hours, and what a day rounds off stays behind them.
select
    subject_id,
    $pseudo_epoch::timestamp + to_hours(greatest(24 * length_of_stay, 48)) + interval 1 hour as time,
    case when in_hospital_death then 'MEDS_DEATH' else 'HOSPITAL_DISCHARGE' end as code,
    'none' as value_status,
    _row,
    case when length_of_stay is null or in_hospital_death is null then 'drop:missing_outcome' end as _reason
from staging.outcomes
