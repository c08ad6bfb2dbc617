"""What one request, refresh and logout costs the web server, PostgreSQL and Redis.

``python -m benchmarks.costs --json FILE``, from the root of the repository; it needs
``redis-server``. It begins and stops servers of its own, on this machine alone. From what it
measures follows, by arithmetic, what a fleet of any size needs.
"""
