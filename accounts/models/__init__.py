"""The rows: a login, the version of a user's tokens, and the record of what ended."""

from accounts.models.client import Client as Client
from accounts.models.counter import Counter as Counter
from accounts.models.event import USERNAME_MAX_LENGTH as USERNAME_MAX_LENGTH
from accounts.models.event import LogoutEvent as LogoutEvent
from accounts.models.event import LogoutEventQuerySet as LogoutEventQuerySet
from accounts.models.seal import AuditSeal as AuditSeal
from accounts.models.session import NO_SID as NO_SID
from accounts.models.session import Session as Session
from accounts.models.session import SessionQuerySet as SessionQuerySet
from accounts.models.session import database as database
from accounts.models.session import hash_key as hash_key
from accounts.models.user import User as User
from accounts.models.user import password_hashes as password_hashes
from accounts.models.version import TokenVersion as TokenVersion
