-- One row is one diagnosis, at the time that it was entered.
-- source: eICU manual, diagnosis (https://eicu-crd.mit.edu/eicutables/diagnosis/)

-- Whether a diagnosis is active upon the discharge is told later, and is not read.
select
    subject_id, unit_begins + to_minutes(diagnosisoffset) as time,
    'DIAGNOSIS//' || diagnosisstring as code, diagnosis._row,
    case when subject_id is null then 'quarantine:patientunitstayid:no_admission' end as _reason
from staging.diagnosis
left join links.stays using (unit_stay)
