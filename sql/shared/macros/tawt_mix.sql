-- One round of the hash of subjects: 32 bits, mixed by shift and multiplication; every product stays below 2^63.
create macro tawt_mix(x) as (xor(x >> 16, x) * 73244475) & 4294967295
