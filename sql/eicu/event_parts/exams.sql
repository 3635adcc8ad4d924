-- One row is one finding of a physical exam, at the time that it was entered.
-- source: eICU manual, physicalExam (https://eicu-crd.mit.edu/eicutables/physicalexam/)

-- A choice ends the path of its finding, and is its value. Anything else was entered in the place of the last choice.
with findings as (
    select
        *,
        regexp_replace(physicalexampath, '^notes/Progress Notes/Physical Exam/(Physical Exam/)?', '') as path
    from staging.physicalexam
)

select
    subject_id, unit_begins + to_minutes(physicalexamoffset) as time,
    'EXAM//' || case when ends_with(path, '/' || physicalexamtext) then left(path, -length(physicalexamtext) - 1) else path end
        as code,
    number(physicalexamtext) as numeric_value,
    case when number(physicalexamtext) is null then physicalexamtext end as text_value,
    case when physicalexamtext is null then 'absent' when number(physicalexamtext) is null then 'category' else 'numeric' end
        as value_status,
    findings._row,
    case when subject_id is null then 'quarantine:patientunitstayid:no_admission' end as _reason
from findings
left join links.stays using (unit_stay)
