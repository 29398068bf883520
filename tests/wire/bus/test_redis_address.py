"""The forms of an address, and what an error may say of them."""

import pytest

from wire.bus.redis_address import UNREADABLE, mask, parse
from wire.bus.redis_connection import connect
from wire.bus.seam import BusUnavailableError


def test_an_address_of_one_server_is_left_to_redis_py():
    for url in ("redis://h:6379/0", "rediss://:pw@h", "unix:///run/redis.sock?db=1", "localhost:6379"):
        assert parse(url) is None


def test_sentinels_are_named_with_their_master():
    followed = parse("redis+sentinel://one:26380,two,[::1]:26381/mymaster")
    assert followed is not None
    assert followed.seeds == (("one", 26380), ("two", 26379), ("::1", 26381))
    assert followed.master == "mymaster"
    assert (followed.server_options, followed.seed_options) == ({"db": 0}, {})


def test_server_and_sentinels_each_get_their_own_password():
    followed = parse("redis+sentinel://bus:p%40ss%2F1@one,two/my%20master/3?sentinel_password=s%26t+u")
    assert followed is not None
    assert followed.master == "my master"
    assert followed.server_options == {"username": "bus", "password": "p@ss/1", "db": 3}
    assert followed.seed_options == {"password": "s&t u"}
    assert "ss" not in repr(followed).replace("password", "")


def test_nodes_of_a_cluster_share_password_and_tls():
    followed = parse("rediss+cluster://:pw@one:7000,two/?ssl_ca_certs=%2Fca.pem&ssl_check_hostname=no")
    assert followed is not None
    assert (followed.seeds, followed.master) == ((("one", 7000), ("two", 6379)), None)
    assert followed.server_options == followed.seed_options
    options = dict(followed.server_options)
    assert options.pop("connection_class").__name__ == "SSLConnection"
    assert options == {"password": "pw", "ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False}


def test_sentinels_over_tls_are_not_given_the_password_of_the_server():
    followed = parse("rediss+sentinel://u:pw@one/m?ssl_ca_certs=ca.pem&sentinel_username=s")
    assert followed is not None
    assert set(followed.seed_options) == {"connection_class", "ssl_ca_certs", "username"}
    assert followed.seed_options["username"] == "s"


MALFORMED = [
    "redis+sentinel://:s3cret@one:26379",  # no master
    "redis+sentinel://:s3cret@one:26379/",
    "redis+sentinel://:s3cret@one:26379/m/one",
    "redis+sentinel://:s3cret@one:26379/m/0/1",
    "redis+sentinel://:s3cret@/m",
    "redis+sentinel://:s3cret@one,,two/m",
    "redis+sentinel://:s3cret@one:port/m",
    "redis+sentinel://:s3cret@one:70000/m",
    "redis+sentinel://:s3cret@[::1/m",
    "redis+sentinel://:s3/cret@one/m",
    "redis+sentinel://:s3?cret@one/m",
    "redis+sentinel://:s3#cret@one/m",
    "redis+sentinel://:s3@cret@one/m",
    "redis+sentinel://one/m?sentinel_pasword=s3cret",
    "redis+sentinel://one/m?sentinel_password=s3@cret",
    "redis+cluster://:s3cret@one/1",
    "redis+cluster://one?password=s3cret",
    "redis+cluster://one?ssl_ca_certs=s3cret",  # no TLS
    "rediss+cluster://one?ssl_pasword=s3cret",
    "redis+cluster:s3cret@one",
    "redis+ring://:s3cret@one",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_address_is_refused_and_gives_no_password_away(url: str):
    with pytest.raises(BusUnavailableError, match="TWOWIRE_REDIS_URL") as caught:
        connect(url, "test")
    assert "s3" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_what_redis_py_cannot_read_is_not_quoted_either():
    with pytest.raises(BusUnavailableError) as caught:
        connect("redis://:s3/cret@h", "test")
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis+sentinel://u:s3cret@a:1,b:2/m/0?sentinel_password=s3", "redis+sentinel://a:1,b:2/m/0"),
        ("rediss+sentinel://:s3%40cret@[::1]:1,[::2]/m", "rediss+sentinel://[::1]:1,[::2]/m"),
        ("redis+cluster://u:s3cret@a:7000,b:7001", "redis+cluster://a:7000,b:7001"),
        ("redis+cluster://u:s3/cret@a:7000,b:7001", UNREADABLE),
    ],
)
def test_several_hosts_are_shown_without_what_may_be_secret(url: str, shown: str):
    assert mask(url) == shown
