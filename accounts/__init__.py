"""Logout for Django REST Framework: a login is one row, and ending it is one DELETE."""
