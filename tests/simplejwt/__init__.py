"""SimpleJWT's own suite, beside the app: ``python -m tests.simplejwt WHEEL``."""
