"""The tests mirror the package; journeys through HTTP are in a module of their own."""
