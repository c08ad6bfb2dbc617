"""What the project promises, tried against real servers, thousands of times.

``python -m benchmarks.drills.kills``, ``….races``, ``….pairs``, ``….hostile`` and ``….attackers``,
from the root of the repository. Each begins and stops servers of its own, on this machine alone,
prints what was tried and what was lost, and fails if anything was.
"""
