-- The unit of a result; where its column has none, that which stands behind the bound of a comparison.
create macro result_unit(status, said, unit) as
    case when unit is null and starts_with(status, 'censored') then bound_unit(said) else unit end
