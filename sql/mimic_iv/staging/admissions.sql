-- One row is one hospital stay of one person.
-- source: MIMIC-IV manual, hosp/admissions (https://mimic.mit.edu/docs/iv/modules/hosp/admissions/)

with admissions as (
    select
        _row, subject_id, hadm_id, admittime, dischtime, deathtime, edregtime, edouttime, admission_type,
        admission_location, discharge_location, insurance, language, marital_status, race
    from raw.admissions
),

-- An id with a point is refused: a cast would round it to somebody else's.
typed as (
    select
        *,
        case when not contains(subject_id, '.') then try_cast(subject_id as bigint) end as subject,
        case when not contains(hadm_id, '.') then try_cast(hadm_id as bigint) end as hadm,
        try_cast(admittime as timestamp) as admitted,
        try_cast(dischtime as timestamp) as discharged,
        try_cast(deathtime as timestamp) as died,
        try_cast(edregtime as timestamp) as registered,
        try_cast(edouttime as timestamp) as left_ed
    from admissions
)

select
    subject::bigint as subject_id,
    hadm::bigint as hadm_id,
    admitted::timestamp as admittime,
    discharged::timestamp as dischtime,
    died::timestamp as deathtime,
    registered::timestamp as edregtime,
    left_ed::timestamp as edouttime,
    nullif(trim(admission_type), '')::varchar as admission_type,
    nullif(trim(admission_location), '')::varchar as admission_location,
    nullif(trim(discharge_location), '')::varchar as discharge_location,
    nullif(trim(insurance), '')::varchar as insurance,
    nullif(trim(language), '')::varchar as language,
    nullif(trim(marital_status), '')::varchar as marital_status,
    nullif(trim(race), '')::varchar as race,
    _row::bigint as _row,
    (case
        when subject_id is null then 'quarantine:subject_id:missing'
        when subject is null then 'quarantine:subject_id:unparseable'
        when hadm_id is null then 'quarantine:hadm_id:missing'
        when hadm is null then 'quarantine:hadm_id:unparseable'
        when admittime is null then 'quarantine:admittime:missing'
        when admitted is null then 'quarantine:admittime:unparseable'
        when admitted not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:admittime:out_of_range'
        when dischtime is not null and discharged is null then 'quarantine:dischtime:unparseable'
        when discharged not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:dischtime:out_of_range'
        when deathtime is not null and died is null then 'quarantine:deathtime:unparseable'
        when died not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:deathtime:out_of_range'
        when edregtime is not null and registered is null then 'quarantine:edregtime:unparseable'
        when registered not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:edregtime:out_of_range'
        when edouttime is not null and left_ed is null then 'quarantine:edouttime:unparseable'
        when left_ed not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:edouttime:out_of_range'
    end)::varchar as _reason
from typed
