-- One row is whether the person of one stay died in the hospital, asked after the first 48 hours.
-- source: PhysioNet Challenge 2012, outcomes (https://physionet.org/content/challenge-2012/1.0.0/)

select
    subject_id, $pseudo_epoch::timestamp + interval 48 hours as prediction_time, in_hospital_death as boolean_value, _row,
    case when in_hospital_death is null then 'drop:missing_outcome' end as _reason
from staging.outcomes
