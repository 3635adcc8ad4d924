-- One row is the begin or the end of one order of a drug, readable from when it was ordered.
-- source: eICU manual, medication (https://eicu-crd.mit.edu/eicutables/medication/)

-- One drug has many names, and one number of its ingredients: the number speaks, or the name where there is none. A dose is
-- a number with a unit behind it, or it is not read.
with orders as (
    select
        medication.*, subject_id,
        coalesce('HICL//' || drughiclseqno::bigint, drugname) as drug,
        unit_begins + to_minutes(drugorderoffset) as ordered,
        unit_begins + to_minutes(drugstartoffset) as begins,
        unit_begins + to_minutes(drugstopoffset) as ends,
        regexp_extract(replace(dosage, ',', ''), '^([0-9.]+) *([A-Za-z%/]+)$', ['number', 'unit']) as dose
    from staging.medication
    left join links.stays using (unit_stay)
),

events as (
    select
        _row, subject_id, ordered, begins as time, 'MEDICATION//' || coalesce(drug, 'UNK') as code,
        number(dose.number) as numeric_value,
        case when number(dose.number) is not null then lower(dose.unit) end as unit,
        case when number(dose.number) is null then dosage end as raw_value,
        case when dosage is null then 'absent' when number(dose.number) is null then 'unparsed' else 'numeric' end as value_status,
        drugordercancelled, drug
    from orders
    union all
    select _row, subject_id, ordered, ends, 'MEDICATION_END//' || drug, null, null, null, 'none', drugordercancelled, drug
    from orders
    where ends > begins and drug is not null
)

select
    subject_id, time, code, numeric_value, raw_value, unit, value_status, greatest(ordered, time) as available_time, _row,
    case
        when drugordercancelled then 'drop:cancelled'
        when drug is null then 'drop:no_drug'
        when subject_id is null then 'quarantine:patientunitstayid:no_admission'
    end as _reason
from events
