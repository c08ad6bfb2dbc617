"""Django's admin: the record of what ended to browse, and live logins to end.

A host whose user admin shall end logins too adds one mixin to it: ``EndLoginsMixin``.
"""

from accounts.admin.clients import ClientAdmin as ClientAdmin
from accounts.admin.events import LogoutEventAdmin as LogoutEventAdmin
from accounts.admin.paginator import BoundedPaginator as BoundedPaginator
from accounts.admin.sessions import SessionAdmin as SessionAdmin
from accounts.admin.users import EndLoginsMixin as EndLoginsMixin
