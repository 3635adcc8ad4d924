-- The hash of a subject, 0 to 2^32 - 1, which samples and shards follow: the same on every machine, in Python too.
create macro tawt_hash(subject_id, salt) as
    tawt_hash32(xor(xor(subject_id & 4294967295, tawt_hash32((subject_id >> 32) & 4294967295)), tawt_hash32(salt)))
