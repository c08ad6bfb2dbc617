"""The pages for people: log in, see one's devices, end their logins."""
