"""Settings: a module for each subject, and ``base`` with what is the same for all."""
