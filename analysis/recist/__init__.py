"""RECIST 1.1, rule by rule: `analysis.response` is its public face.

`measurability` and `checks` look at what comes in, `targets` and `overall`
judge one time point, `course` follows a patient through time, `best` takes the
best of it, `irecist` re-reads it for immunotherapy, `readers` chooses between
readers.
"""
