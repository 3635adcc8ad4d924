-- The last step of the hash of subjects.
create macro tawt_end(h) as xor(h >> 16, h) & 4294967295
