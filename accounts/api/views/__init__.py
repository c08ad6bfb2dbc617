"""The endpoints: they translate between HTTP and the services, and log what was answered."""

from accounts.api.views.base import ContractView as ContractView
from accounts.api.views.base import server_error as server_error
from accounts.api.views.logout import LogoutAllView as LogoutAllView
from accounts.api.views.logout import LogoutView as LogoutView
from accounts.api.views.oauth import IntrospectView as IntrospectView
from accounts.api.views.oauth import RevokeView as RevokeView
from accounts.api.views.sessions import SessionsView as SessionsView
from accounts.api.views.sessions import SessionView as SessionView
from accounts.api.views.token import ReauthenticateView as ReauthenticateView
from accounts.api.views.token import TokenView as TokenView
from accounts.api.views.user import UserView as UserView
