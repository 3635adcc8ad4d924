-- Whether the text of a result says another number than the number beside it, and neither is the other, rounded.
create macro contradicts(said, counted, cell) as
    counted is not null and said <> cell
    and coalesce(
        abs(coalesce(number(said), bound(said)) - counted)
        > 1e-6 * abs(counted) + 0.500001 * power(10.0, -least(decimals(said), decimals(cell))),
        false
    )
