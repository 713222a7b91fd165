"""The client for scripts, made from `_async` by `scripts/make_sync.py`.

Only `_runtime.py` and `_pending.py` are written by hand.
"""
