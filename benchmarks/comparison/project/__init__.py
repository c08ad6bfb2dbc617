"""The project that each subject runs in: its own settings, the same middleware and floors.

It has to work in the peers' environments: nothing of ours is imported but for ours.
"""
