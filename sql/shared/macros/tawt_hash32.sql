-- The hash of 32 bits.
create macro tawt_hash32(x) as tawt_end(tawt_mix(tawt_mix(x & 4294967295)))
