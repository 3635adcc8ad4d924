-- One row is one fact of a person's past history, at the time that it was entered.
-- source: eICU manual, pastHistory (https://eicu-crd.mit.edu/eicutables/pasthistory/)

select
    subject_id, unit_begins + to_minutes(pasthistoryenteredoffset) as time,
    'HISTORY//' || regexp_replace(pasthistorypath, '^notes/Progress Notes/Past History/', '') as code,
    pasthistory._row,
    case when subject_id is null then 'quarantine:patientunitstayid:no_admission' end as _reason
from staging.pasthistory
left join links.stays using (unit_stay)
