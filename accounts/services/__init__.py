"""What can be done to a login. Transactions and the audit record live here.

Every service takes effect as a whole or not at all, and returns after its commit (unless the
caller has a transaction open). Two rules keep them safe beside each other:

- Log-ins, and the scopes that end several, lock the user's ``TokenVersion`` first, so that they
  take turns: a log-in is ended with the others or begins after them. Nothing locks rows of several
  logins but in a single statement; should two of those still wait for each other, one is retried.
- A refresh changes the login's row only if its token is still the current one there, and the end
  of a login takes that row away: whichever commits first, no live token is left behind.
"""

from accounts.models import database as database
from accounts.services.endings import discard as discard
from accounts.services.endings import end_all as end_all
from accounts.services.endings import end_browser_session as end_browser_session
from accounts.services.endings import end_others as end_others
from accounts.services.endings import end_sessions as end_sessions
from accounts.services.endings import keep_session as keep_session
from accounts.services.endings import make_room as make_room
from accounts.services.endings import password_changed as password_changed
from accounts.services.endings import password_disabled as password_disabled
from accounts.services.endings import run_out as run_out
from accounts.services.endings import secure_account as secure_account
from accounts.services.endings import token_blacklisted as token_blacklisted
from accounts.services.endings import user_deactivated as user_deactivated
from accounts.services.endings import user_deleted as user_deleted
from accounts.services.login import TokenPair as TokenPair
from accounts.services.login import find_login as find_login
from accounts.services.login import log_in as log_in
from accounts.services.login import mint_access as mint_access
from accounts.services.login import reauthenticate as reauthenticate
from accounts.services.login import refresh as refresh
from accounts.services.logout import log_out as log_out
from accounts.services.logout import require_recent_authentication as require_recent_authentication
from accounts.services.record import Cause as Cause
from accounts.services.record import Initiator as Initiator
from accounts.services.record import LogoutResult as LogoutResult
from accounts.services.record import Reason as Reason
from accounts.services.record import Scope as Scope
from accounts.services.transactions import after_request as after_request
