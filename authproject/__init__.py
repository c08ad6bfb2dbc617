"""The example project: it shows the app."""
