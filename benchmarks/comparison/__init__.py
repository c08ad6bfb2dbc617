"""Logging out, measured beside the packages that people use for it today.

``python3 -m benchmarks.comparison``, from the root of the repository. It brings everything: the
peers in environments of their own, PostgreSQL, and Redis where the machine has it. What is slow is
told, and fails nothing.
"""
