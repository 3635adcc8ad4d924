-- One row is one answer about why a person was admitted to a unit, at the time that it was entered.
-- source: eICU manual, admissionDx (https://eicu-crd.mit.edu/eicutables/admissiondx/)

select
    subject_id, unit_begins + to_minutes(admitdxenteredoffset) as time,
    'ADMISSION_DIAGNOSIS//' || regexp_replace(admitdxpath, '^admission diagnosis\|', '') as code,
    admissiondx._row,
    case when subject_id is null then 'quarantine:patientunitstayid:no_admission' end as _reason
from staging.admissiondx
left join links.stays using (unit_stay)
