"""Our records against the venue's word: what differs, why, and what is safe to mend.

`gather` asks, `compare` judges and touches nothing, `heal` carries out, `component` says when.
"""
