"""The recipe that people add to SimpleJWT: access tokens on its blacklist as well."""
