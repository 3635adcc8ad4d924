-- One row is one treatment, at the time that it was entered.
-- source: eICU manual, treatment (https://eicu-crd.mit.edu/eicutables/treatment/)

-- Whether a treatment is active upon the discharge is told later, and is not read.
select
    subject_id, unit_begins + to_minutes(treatmentoffset) as time,
    'TREATMENT//' || treatmentstring as code, treatment._row,
    case when subject_id is null then 'quarantine:patientunitstayid:no_admission' end as _reason
from staging.treatment
left join links.stays using (unit_stay)
