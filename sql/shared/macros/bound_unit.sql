-- The unit behind the bound of a comparison (`> 80 mg/L`); null where none stands there.
create macro bound_unit(said) as
    nullif(
        trim(
            regexp_extract(
                said,
                '^(?:[<>]=?|(?:less|greater) than(?: or equal to)?)\s*[-+]?[0-9]*\.?[0-9]+\s*([a-z%][^:\s]*?(?:\s+[^:\s0-9][^:\s]*?)*)\.?$',
                1, 'i'
            )
        ),
        ''
    )
