"""Where an address is: by the host's database, and without an error whatever that is like."""

from __future__ import annotations

import logging

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from accounts.pages.places import place_of

LONDON = {
    "city": {"names": {"en": "London"}},
    "country": {"iso_code": "GB", "names": {"en": "United Kingdom"}},
}
NOWHERE_NAMED = {"country": {"iso_code": "GB", "names": {"en": "United Kingdom"}}}


@pytest.fixture
def database(tmp_path, settings):
    """Make the host have a GeoIP2 database of this type."""

    def make(kind):
        writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type=kind)
        writer.insert_network(IPSet(["81.2.69.0/24", "2a02:c7c::/32"]), LONDON)
        writer.insert_network(IPSet(["81.2.70.0/24"]), NOWHERE_NAMED)
        writer.to_db_file(str(tmp_path / f"{kind}.mmdb"))
        settings.GEOIP_PATH = tmp_path / f"{kind}.mmdb"

    return make


@pytest.mark.parametrize("address", ["81.2.69.142", "2a02:c7c::1"])
def test_a_database_of_cities_gives_city_and_country(database, address):
    database("GeoLite2-City")
    assert place_of(address) == "London, United Kingdom"


def test_a_country_is_enough(database):
    database("GeoLite2-City")
    assert place_of("81.2.70.1") == "United Kingdom"


def test_a_database_of_countries_gives_the_country(database):
    database("GeoLite2-Country")
    assert place_of("81.2.69.142") == "United Kingdom"


def test_a_folder_of_databases_is_found_by_djangos_names(database, settings):
    database("GeoLite2-City")
    settings.GEOIP_PATH = str(settings.GEOIP_PATH.parent)
    assert place_of("81.2.69.142") == "London, United Kingdom"


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.16.0.1", "192.168.1.7", "127.0.0.1", "::1", "fd00::1", "fe80::1"]
)
def test_an_address_of_the_local_network_is_named_so(address):
    assert place_of(address) == "local network"


@pytest.mark.parametrize("address", [None, "", "81.2.69.142", "100.64.0.1", "2a02:c7c::1"])
def test_without_a_database_there_is_no_place(address):
    assert place_of(address) == ""


def test_an_address_that_the_database_does_not_have_has_no_place(database):
    database("GeoLite2-City")
    assert place_of("198.41.0.4") == ""


def test_a_database_that_cannot_be_opened_is_told_once_and_shows_no_place(
    settings, tmp_path, caplog
):
    (tmp_path / "broken.mmdb").write_bytes(b"not a database")
    settings.GEOIP_PATH = tmp_path / "broken.mmdb"
    with caplog.at_level(logging.ERROR, logger="accounts.pages.places"):
        assert [place_of("81.2.69.142"), place_of("81.2.69.143")] == ["", ""]
    assert [record.message for record in caplog.records] == [
        "No places are shown: the GeoIP2 database cannot be opened"
    ]
