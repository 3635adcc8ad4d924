-- One row is the taking of the specimen that one laboratory result comes from.
-- source: MIMIC-IV manual, hosp/labevents (https://mimic.mit.edu/docs/iv/modules/hosp/labevents/)

select
    subject_id, charttime as time,
    'LAB//SPECIMEN_COLLECTED//' || itemid || '//' || coalesce(priority, 'UNK') as code,
    specimen_id as record_id, _row
from staging.labevents
