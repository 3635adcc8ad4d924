-- A unit by its letters alone: small or capital only where that makes it another, as `MU/L` and `mU/L`, `G/L` and `g/L`.
-- A capital M, G, T or P is mega to peta before a unit that is written as it should be: `MG/DL` is written in capitals.
create macro unit_letters(unit) as
    lower(
        regexp_replace(
            regexp_replace(
                unit,
                '\b([MGTP](?:g|mol|I?U|Eq|[Oo]sm|Pa|Hz|Bq|Gy|Sv|J|W|V|Ci|cal|eV|CFU|cfu|cells|copies)|[GT]/[uµμmn]?[Ll]|[munpf][MS])\b',
                '~\1', 'g'
            ),
            '[\s().^*]', '', 'g'
        )
    )
