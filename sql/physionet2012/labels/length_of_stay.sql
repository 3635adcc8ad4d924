-- One row is how many days one stay in the hospital lasted, asked after the first 48 hours.
-- source: PhysioNet Challenge 2012, outcomes (https://physionet.org/content/challenge-2012/1.0.0/)

select
    subject_id, $pseudo_epoch::timestamp + interval 48 hours as prediction_time, length_of_stay::float as float_value, _row,
    case when length_of_stay is null then 'drop:missing_outcome' end as _reason
from staging.outcomes
