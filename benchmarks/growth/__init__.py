"""What many rows cost: ``python -m benchmarks.growth`` and ``python -m benchmarks.growth.pruning``.

Each begins a PostgreSQL of its own in a temporary folder, and removes it in the end.
"""
