-- The unit behind the bound of a comparison (`> 80 mg/L`); null where none stands there.
-- The number is taken away first, so that no exponent is a unit.
create macro bound_unit(said) as
    case
        when bound(said) is not null then nullif(
            trim(
                regexp_extract(
                    regexp_replace(
                        said,
                        '^(?:[<>]=?|(?:less|greater) than(?: or equal to)?)\s*[-+]?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?\s*',
                        '', 'i'
                    ),
                    '^([a-z%].*?)\.?$',
                    1, 'i'
                )
            ),
            ''
        )
    end
