-- One row is what is told of one stay: an admission, where from, ethnicity, size, a discharge, a death; or a gender or birth.
-- source: eICU manual, patient (https://eicu-crd.mit.edu/eicutables/patient/)

with patients as (
    from staging.patient
),

-- A stay on a ward that steps down from the ICU is told like one in an ICU, and is none. Gender and the discharge of who
-- died are called as in MIMIC-IV, so that a run that knows the one knows the other.
told as (
    select
        patients.* exclude (age),
        hospital_begins, unit_begins, years, nth_of_person, nth_of_hospital_stay,
        unit_begins + to_minutes(hospitaldischargeoffset) as hospital_ends,
        unit_begins + to_minutes(unitdischargeoffset) as unit_ends,
        coalesce(hospitaldischargestatus = 'Expired', false) as expired,
        coalesce(unitdischargestatus = 'Expired', false) as expired_in_unit,
        case gender when 'Female' then 'F' when 'Male' then 'M' else coalesce(gender, 'UNK') end as sex,
        case when unitstaytype = 'stepdown/other' then 'STEPDOWN' else 'ICU' end as unit
    from patients
    left join links.stays using (subject_id, unit_stay)
),

-- Who dies in a unit dies when the stay there ends. A death is told once, at the first of the times that it has.
deaths as (
    select
        _row, subject_id, hospital_begins,
        case when expired_in_unit then coalesce(unit_ends, hospital_ends) else hospital_ends end as time
    from told
    where expired or expired_in_unit
    qualify row_number() over (partition by subject_id order by time nulls last, _row) = 1
),

-- A whole age is half a year too small on average. What ends something is not readable before it begins.
events as (
    select _row, subject_id, null::timestamp as time, null::timestamp as begins, 'GENDER//' || sex as code,
        null::double as numeric_value
    from told
    where nth_of_person = 1
    union all
    select _row, subject_id, hospital_begins - to_days((365.25 * (years + 0.5))::integer), null, 'MEDS_BIRTH', null
    from told
    where nth_of_person = 1 and years is not null
    union all
    select _row, subject_id, hospital_begins, null, 'HOSPITAL_ADMISSION//' || coalesce(hospitaladmitsource, 'UNK'), null
    from told
    where nth_of_hospital_stay = 1
    union all
    select _row, subject_id, hospital_begins, null, 'RACE//' || coalesce(ethnicity, 'UNK'), null
    from told
    where nth_of_hospital_stay = 1
    union all
    select _row, subject_id, unit_begins, null, unit || '_ADMISSION//' || coalesce(unittype, 'UNK'), null
    from told
    union all
    select _row, subject_id, unit_begins, null, unit || '_ADMISSION_FROM//' || unitadmitsource, null
    from told
    where unitadmitsource is not null
    union all
    select _row, subject_id, unit_begins, null, 'HEIGHT', admissionheight from told where admissionheight is not null
    union all
    select _row, subject_id, unit_begins, null, 'WEIGHT', admissionweight from told where admissionweight is not null
    union all
    select _row, subject_id, unit_ends, unit_begins, 'WEIGHT_AT_DISCHARGE', dischargeweight
    from told
    where dischargeweight is not null and unit_ends is not null
    union all
    select
        _row, subject_id, unit_ends, unit_begins,
        unit || '_DISCHARGE//' || case when expired_in_unit then 'DIED' else coalesce(unitdischargelocation, 'UNK') end, null
    from told
    where unit_ends is not null
    union all
    select
        _row, subject_id, hospital_ends, hospital_begins,
        'HOSPITAL_DISCHARGE//' || case when expired then 'DIED' else coalesce(hospitaldischargelocation, 'UNK') end, null
    from told
    where nth_of_hospital_stay = 1 and hospital_ends is not null
    union all
    select _row, subject_id, time, hospital_begins, 'MEDS_DEATH', null from deaths where time is not null
)

select
    subject_id, time, code, numeric_value, case when numeric_value is null then 'none' else 'numeric' end as value_status,
    greatest(time, begins) as available_time, _row
from events
