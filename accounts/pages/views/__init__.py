"""The pages: they translate between people and the services."""

from accounts.pages.views.login import LoginPage as LoginPage
from accounts.pages.views.login import LogoutPage as LogoutPage
from accounts.pages.views.login import ReauthenticatePage as ReauthenticatePage
from accounts.pages.views.sessions import EndAllPage as EndAllPage
from accounts.pages.views.sessions import EndOthersPage as EndOthersPage
from accounts.pages.views.sessions import EndSessionPage as EndSessionPage
from accounts.pages.views.sessions import SessionsPage as SessionsPage
