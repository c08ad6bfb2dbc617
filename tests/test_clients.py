"""Who is calling: address, user agent and request id."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from django.utils import translation

from accounts.clients import ClientInfo, clear_site_data
from accounts.pages.names import device_name


def client(**meta):
    return ClientInfo.from_request(RequestFactory().get("/", **meta))


@pytest.fixture
def behind_proxies(settings):
    settings.ACCOUNTS = {"TRUSTED_PROXIES": ["10.0.0.0/8", "2001:db8:ffff::/48"]}


@pytest.fixture
def behind_a_socket(settings):
    settings.ACCOUNTS = {"TRUSTED_PROXIES": ["unix", "10.0.0.0/8"]}


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("garbage", None),
        ("192.0.2.999", None),
    ],
)
def test_the_address_is_the_peers(peer, address):
    assert client(REMOTE_ADDR=peer).ip_address == address


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "10.0.0.1"])
def test_nobody_is_trusted_by_default(settings, peer):
    del settings.ACCOUNTS

    assert client(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR="198.51.100.9").ip_address == peer


@pytest.mark.usefixtures("behind_proxies")
@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        # The right-most hop that no trusted proxy vouches for.
        ("10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "203.0.113.5, 198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "203.0.113.5,198.51.100.9, 10.0.0.2", "198.51.100.9"),
        ("2001:db8:ffff::1", "2001:db8::5", "2001:db8::5"),
        ("::ffff:10.0.0.1", "198.51.100.9", "198.51.100.9"),
        # A client that is not a proxy of ours says what it likes.
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
        # With a port, as some proxies write it.
        ("10.0.0.1", "198.51.100.9:4711", "198.51.100.9"),
        ("10.0.0.1", "[2001:db8::5]:443", "2001:db8::5"),
        ("10.0.0.1", "[2001:db8::5]", "2001:db8::5"),
        ("10.0.0.1", "::ffff:198.51.100.9", "198.51.100.9"),
        # Everybody is trusted: the farthest hop.
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # What cannot be read ends the chain at the last hop that could.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.9, _hidden, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.9,", "10.0.0.1"),
        ("10.0.0.1", "[", "10.0.0.1"),
        ("10.0.0.1", "\x00", "10.0.0.1"),
    ],
)
def test_the_address_is_the_right_most_untrusted_hop(peer, forwarded, address):
    assert client(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded).ip_address == address


@pytest.mark.usefixtures("behind_proxies")
def test_a_trusted_proxy_that_forwards_nothing_is_the_client_itself():
    assert client(REMOTE_ADDR="10.0.0.1").ip_address == "10.0.0.1"


@pytest.mark.usefixtures("behind_a_socket")
def test_a_unix_socket_can_be_trusted():
    assert client(REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="198.51.100.9").ip_address == "198.51.100.9"
    assert client(REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="x").ip_address is None


@pytest.mark.usefixtures("behind_proxies")
def test_a_unix_socket_is_not_trusted_unless_named():
    assert client(REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="198.51.100.9").ip_address is None


@pytest.mark.usefixtures("behind_a_socket")
def test_a_peer_that_cannot_be_read_is_not_a_unix_socket():
    forwarded = {"HTTP_X_FORWARDED_FOR": "198.51.100.9"}

    assert client(REMOTE_ADDR="garbage", **forwarded).ip_address is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"),
        ("a\r\nINFO forged\x1b[2J\x00\x7f\x85", "aINFO forged[2J"),
        ("Ñandú \U0001f4f1", "Ñandú \U0001f4f1"),
        ("a\ud800b", "ab"),
        ("\x00" * 600 + "x" * 513, "x" * 512),
        ("", ""),
    ],
)
def test_the_user_agent_is_safe_to_store_and_to_log(sent, kept):
    assert client(HTTP_USER_AGENT=sent).user_agent == kept


def test_a_client_without_a_user_agent_has_an_empty_one():
    assert client().user_agent == ""


@pytest.mark.parametrize("sent", ["a", "req-1.2:3_4", "x" * 64])
def test_a_plain_request_id_is_the_callers(sent):
    assert client(HTTP_X_REQUEST_ID=sent).request_id == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\n", "ñ", '"', "\x00"])
def test_any_other_request_id_is_a_new_one(sent):
    first, second = client(HTTP_X_REQUEST_ID=sent), client(HTTP_X_REQUEST_ID=sent)

    assert len(first.request_id) == 32
    assert first.request_id.isalnum()
    assert first.request_id != second.request_id


def test_a_request_has_one_id_whoever_asks(rf):
    request = rf.get("/")

    first, second = (ClientInfo.from_request(request).request_id for _ in range(2))

    assert first == second
    assert first != ClientInfo.from_request(rf.get("/")).request_id


MOZILLA = "Mozilla/5.0"
WINDOWS = f"{MOZILLA} (Windows NT 10.0; Win64; x64"
MAC = f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (f"{WINDOWS}; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"),
        (f"{WINDOWS}) {CHROME} Safari/537.36", "Chrome on Windows"),
        (f"{WINDOWS}) {CHROME} Safari/537.36 Edg/139.0.0.0", "Edge on Windows"),
        (f"{MAC} Version/17.5 Safari/605.1.15", "Safari on Mac"),
        (f"{MOZILLA} (X11; Linux x86_64) {CHROME} Safari/537.36", "Chrome on Linux"),
        # Programs that are no browser say what they are.
        ("Phone/1", "Phone"),
        ("acme-sync/2.1 (build 7)", "acme-sync"),
        # Nothing to tell.
        ("", ""),
        ("()", ""),
        ("\U0001f4f1", ""),
    ],
)
def test_a_device_is_named_as_a_person_would(user_agent, name):
    assert device_name(user_agent) == name


@pytest.mark.parametrize(
    ("user_agent", "parts"),
    [
        (
            f"{MOZILLA} (Linux; Android 14; Pixel 8) {CHROME} Mobile Safari/537.36",
            ("Chrome", "Pixel 8"),
        ),
        (
            f"{MOZILLA} (Linux; Android 10; K) {CHROME} Mobile Safari/537.36",
            ("Chrome", "Android"),
        ),
        (
            f"{MOZILLA} (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15"
            " (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            ("Safari", "iPhone"),
        ),
        ("curl/8.5.0", ("curl",)),
        ("python-requests/2.32.3", ("Python Requests",)),
        ("okhttp/4.12.0", ("okhttp",)),
    ],
)
def test_a_phone_or_a_program_is_told_from_others(user_agent, parts):
    name = device_name(user_agent)

    for part in parts:
        assert part in name


@pytest.mark.parametrize("user_agent", ["x" * 512, "(" * 512, "Mozilla/" * 64, "%(program)s/1 %s"])
def test_a_strange_user_agent_has_some_name(user_agent):
    assert isinstance(device_name(user_agent), str)


def test_a_device_is_named_in_every_language():
    for language in ("en", "es"):
        with translation.override(language):
            name = device_name(f"{WINDOWS}; rv:140.0) Gecko/20100101 Firefox/140.0")
        assert name.startswith("Firefox ")
        assert name.endswith(" Windows")


@pytest.mark.parametrize(
    ("kinds", "header"),
    [
        ((), ""),
        (("cookies",), '"cookies"'),
        (["cookies", "storage"], '"cookies", "storage"'),
        (("*",), '"*"'),
    ],
)
def test_what_to_clear_is_a_list_of_quoted_strings(rf, settings, kinds, header):
    settings.ACCOUNTS = {"CLEAR_SITE_DATA": kinds}

    assert clear_site_data(rf.get("/", secure=True)) == header


def test_nothing_is_to_be_cleared_by_default_or_without_https(rf, settings):
    settings.ACCOUNTS = {}
    assert clear_site_data(rf.get("/", secure=True)) == ""

    settings.ACCOUNTS = {"CLEAR_SITE_DATA": ["cookies"]}
    assert clear_site_data(rf.get("/")) == ""


def test_https_at_a_proxy_counts_as_django_is_told(rf, settings):
    settings.ACCOUNTS = {"CLEAR_SITE_DATA": ["cookies"]}
    request = rf.get("/", HTTP_X_FORWARDED_PROTO="https")
    assert clear_site_data(request) == ""

    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert clear_site_data(request) == '"cookies"'


# Behind a proxy that is not trusted: everybody shares one address, and one limit


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "accounts.clients"]


@pytest.mark.parametrize(
    "peer", ["10.0.0.1", "127.0.0.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1", ""]
)
def test_a_proxy_in_front_of_us_that_nobody_trusts_is_told_once(settings, caplog, peer):
    settings.ACCOUNTS = {}

    for forwarded in ("198.51.100.9", "198.51.100.10"):
        client(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)

    [warning] = warnings(caplog)
    assert "TRUSTED_PROXIES" in warning
    assert "198.51.100" not in warning  # what a client may have written


@pytest.mark.parametrize(
    ("trusted", "meta"),
    [
        ([], {"REMOTE_ADDR": "8.8.8.8", "HTTP_X_FORWARDED_FOR": "198.51.100.9"}),
        ([], {"REMOTE_ADDR": "10.0.0.1"}),
        (["10.0.0.0/8"], {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.9"}),
        (["10.0.0.0/8"], {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "198.51.100.9"}),
    ],
    ids=["from the internet", "without the header", "trusted", "somebody is trusted"],
)
def test_where_there_is_no_such_proxy_nothing_is_told(settings, caplog, trusted, meta):
    settings.ACCOUNTS = {"TRUSTED_PROXIES": trusted}

    client(**meta)

    assert warnings(caplog) == []
