-- Whether a comparison says two bounds (`<5 and >2`, `>=5<10`, `<5-10`, `<5mg-10mg`), or another notation than decimal (`<0x1F`).
create macro is_interval(said) as
    regexp_matches(said, '(?i)[0-9].*[<>]|[0-9]\s*[-–—]\s*[0-9]|[0-9].*[a-z%\s][-–—]\s*(?:[0-9.]+[a-z%]|[0-9]{2,}\s*[a-z%])|[0-9].*\b(?:and|or|to)\b\s*[<>=]*\s*[0-9]|[<>]=?\s*[-+]?0x')
