-- One row is one fact about the hospital that a stay is in, told when the stay begins.
-- source: eICU manual, hospital (https://eicu-crd.mit.edu/eicutables/hospital/)

with told as (
    select
        patient._row, patient.subject_id, hospital_begins as time, nth_of_hospital_stay as nth, numbedscategory as beds, region,
        case when teachingstatus then 'yes' when not teachingstatus then 'no' end as teaches
    from staging.patient
    left join links.stays using (subject_id, unit_stay)
    left join staging.hospital using (hospitalid)
),

events as (
    select _row, subject_id, time, code || said as code, nth
    from told unpivot (said for code in (
        teaches as 'HOSPITAL_TEACHES//', beds as 'HOSPITAL_BEDS//', region as 'HOSPITAL_REGION//'
    ))
    union all
    select _row, subject_id, time, null, nth
    from told
    where coalesce(teaches, beds, region) is null
)

select
    subject_id, time, code, _row,
    case when nth > 1 then 'drop:listed_before' when code is null then 'drop:nothing_measured' end as _reason
from events
