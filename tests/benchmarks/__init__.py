"""Measures rbdiag against other programs on this machine: `python -m tests.benchmarks [NAME...]`.

Only ratios of commands run in turn mean something: a shared machine changes its speed from minute to minute.
"""
