-- One row is one measurement of one hour; what was not measured has no row.
-- source: PhysioNet Challenge 2019, data description (https://physionet.org/content/challenge-2019/1.0.0/)

-- The source has hours in the ICU only, so every stay begins at one declared day. An hour is told at its end.
with measured as (
    select _row, subject_id, hour, code, numeric_value
    from staging.records unpivot (numeric_value for code in (
        hr as 'HR', o2sat as 'O2Sat', temp as 'Temp', sbp as 'SBP', mean_pressure as 'MAP', dbp as 'DBP',
        resp as 'Resp', etco2 as 'EtCO2', baseexcess as 'BaseExcess', hco3 as 'HCO3', fio2 as 'FiO2', ph as 'pH',
        paco2 as 'PaCO2', sao2 as 'SaO2', ast as 'AST', bun as 'BUN', alkalinephos as 'Alkalinephos',
        calcium as 'Calcium', chloride as 'Chloride', creatinine as 'Creatinine',
        bilirubin_direct as 'Bilirubin_direct', glucose as 'Glucose', lactate as 'Lactate',
        magnesium as 'Magnesium', phosphate as 'Phosphate', potassium as 'Potassium',
        bilirubin_total as 'Bilirubin_total', troponini as 'TroponinI', hct as 'Hct', hgb as 'Hgb', ptt as 'PTT',
        wbc as 'WBC', fibrinogen as 'Fibrinogen', platelets as 'Platelets'
    ))
    union all
    select _row, subject_id, hour, null, null
    from staging.records
    where coalesce(
        hr, o2sat, temp, sbp, mean_pressure, dbp, resp, etco2, baseexcess, hco3, fio2, ph, paco2, sao2, ast, bun,
        alkalinephos, calcium, chloride, creatinine, bilirubin_direct, glucose, lactate, magnesium, phosphate,
        potassium, bilirubin_total, troponini, hct, hgb, ptt, wbc, fibrinogen, platelets
    ) is null
)

select
    subject_id, $pseudo_epoch::timestamp + to_minutes(60 * hour) as time, code, numeric_value, _row,
    case when code is null then 'drop:nothing_measured' end as _reason
from measured
