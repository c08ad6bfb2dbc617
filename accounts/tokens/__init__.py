"""The tokens: nothing above this module knows SimpleJWT's token classes."""

from accounts.tokens.blacklist import blacklist as blacklist
from accounts.tokens.blacklist import blacklist_all as blacklist_all
from accounts.tokens.blacklist import blacklist_jtis as blacklist_jtis
from accounts.tokens.blacklist import blacklisted as blacklisted
from accounts.tokens.blacklist import forget_raw as forget_raw
from accounts.tokens.blacklist import is_blacklisted as is_blacklisted
from accounts.tokens.blacklist import record as record
from accounts.tokens.jwt import AccessToken as AccessToken
from accounts.tokens.jwt import LoginToken as LoginToken
from accounts.tokens.jwt import RefreshToken as RefreshToken
from accounts.tokens.jwt import bind as bind
from accounts.tokens.jwt import decode as decode
from accounts.tokens.jwt import decode_access as decode_access
from accounts.tokens.jwt import decode_expired_access as decode_expired_access
from accounts.tokens.jwt import decode_refresh as decode_refresh
from accounts.tokens.jwt import limit as limit
from accounts.tokens.jwt import rotate as rotate
from accounts.tokens.jwt import rotated as rotated
from accounts.tokens.logins import Login as Login
from accounts.tokens.logins import find_login as find_login
from accounts.tokens.logins import is_allowed as is_allowed
from accounts.tokens.logins import is_standing as is_standing
from accounts.tokens.logins import live_logins as live_logins
from accounts.tokens.logins import named_login as named_login
from accounts.tokens.logins import version_of as version_of
