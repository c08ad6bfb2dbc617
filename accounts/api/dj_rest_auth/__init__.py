"""For hosts that log in by dj-rest-auth: its settings name these classes, and its logins are ours.

Nothing else imports that library.
"""
