-- The bound in a comparison, with or without a unit behind it; a titer such as `<1:20` has none.
create macro bound(said) as
    number(
        regexp_extract(
            said,
            '^(?:[<>]=?|(?:less|greater) than(?: or equal to)?)\s*([-+]?[0-9]*\.?[0-9]+)\s*(?:[a-z%][^:]*)?\.?$',
            1, 'i'
        )
    )
