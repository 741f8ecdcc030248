from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift3d_ray.errors import FetchRefused
from lift3d_ray.service.addresses import check_addresses, is_public, parse_url

# What a stranger may try -> a word of the reason.
HOSTILE = {
    "": "no URL",
    "pictures.example.com/cat.png": "no URL",
    "//pictures.example.com/cat.png": "no URL",
    "http:/example.com/": "no URL",
    "http:example.com": "no URL",
    "file:///etc/passwd": "scheme",
    "ftp://example.com/cat.png": "scheme",
    "gopher://example.com:6379/_SET": "scheme",
    "dict://example.com:11211/": "scheme",
    "jar:http://example.com!/": "no URL",
    "javascript:alert(1)": "no URL",
    "HTTP+unix://example.com/": "scheme",
    "http://": "host",
    "http:///etc/passwd": "host",
    "http://user@example.com/": "password",
    "http://user:secret@example.com/": "password",
    "http://example.com@127.0.0.1/": "password",
    "http://127.0.0.1@example.com/": "password",
    "http://example.com:80@127.0.0.1:80/": "password",
    "http://example.com\\@127.0.0.1/": "encoded",
    "http://127.0.0.1\\@example.com/": "encoded",
    "http://example.com#@127.0.0.1/": None,
    "http://example.com/ HTTP/1.1\r\nHost: x": "encoded",
    "http://example.com/\r\nX: y": "encoded",
    "http://exa mple.com/": "encoded",
    "http://example.com/\x00": "encoded",
    "http://exämple.com/": "encoded",
    "http://①②⑦.⓪.⓪.①/": "encoded",
    "http://127。0。0。1/": "encoded",
    "http://%31%32%37.0.0.1/": "plain host",
    "http://127.0.0.1/": "public",
    "http://127.1/": "notation",
    "http://127.0.1/": "notation",
    "http://2130706433/": "notation",
    "http://017700000001/": "notation",
    "http://0177.0.0.1/": "notation",
    "http://0x7f000001/": "notation",
    "http://0x7f.0x0.0x0.0x1/": "notation",
    "http://0x7F.1/": "notation",
    "http://127.0.0.01/": "notation",
    "http://127.0.0.1./": "public",
    "http://1.2.3.4.5/": "notation",
    "http://256.256.256.256/": "notation",
    "http://0/": "notation",
    "http://0.0.0.0/": "public",
    "http://0.1.2.3/": "public",
    "http://10.0.0.1/": "public",
    "http://172.16.0.1/": "public",
    "http://192.168.1.1/": "public",
    "http://100.64.0.1/": "public",
    "http://169.254.169.254/latest/meta-data/": "public",
    "http://168.63.129.16/": "public",
    "http://192.0.2.1/": "public",
    "http://198.18.0.1/": "public",
    "http://192.88.99.1/": "public",
    "http://224.0.0.1/": "public",
    "http://240.0.0.1/": "public",
    "http://255.255.255.255/": "public",
    "http://[::1]/": "public",
    "http://[::]/": "public",
    "http://[0:0:0:0:0:0:0:1]/": "public",
    "http://[::ffff:127.0.0.1]/": "public",
    "http://[::ffff:7f00:1]/": "public",
    "http://[::ffff:93.184.216.34]/": "public",
    "http://[::127.0.0.1]/": "public",
    "http://[64:ff9b::7f00:1]/": "public",
    "http://[2002:7f00:1::]/": "public",
    "http://[2001:0:7f00:1::]/": "public",
    "http://[fe80::1]/": "public",
    "http://[fe80::1%25eth0]/": "plain host",
    "http://[2606:4700::1%eth0]/": "plain host",
    "http://[fc00::1]/": "public",
    "http://[fd00:ec2::254]/": "public",
    "http://[fec0::1]/": "public",
    "http://[ff0e::1]/": "public",
    "http://[2001:db8::1]/": "public",
    "http://[::1/": "plain host",
    "http://::1/": "plain host",
    "http://[127.0.0.1]/": "public",
    "http://localhost/": "full name",
    "http://metadata/": "full name",
    "http://-x.example.com/": "full name",
    "http://example..com/": "full name",
    "http://.example.com/": "full name",
    "http://" + "a" * 64 + ".example.com/": "full name",
    "http://" + "a." * 130 + "com/": "full name",
    "http://example.com:22/": "port",
    "http://example.com:25/": "port",
    "http://example.com:0/": "port",
    "http://example.com:65536/": "port",
    "http://example.com:99999999/": "plain host",
    "http://example.com:-1/": "plain host",
    "http://example.com:80:80/": "plain host",
    "http://example.com:80a/": "plain host",
    "http://example.com/" + "a" * 3000: "longer",
}


@pytest.mark.parametrize(("url", "reason"), HOSTILE.items())
def test_hostile_addresses_are_refused_in_words(url: str, reason: str | None) -> None:
    if reason is None:  # what stands behind # goes nowhere
        assert parse_url(url).url == "http://example.com/"
        return
    with pytest.raises(FetchRefused, match=reason):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://pictures.example.com/a/cat.png?size=2#top", "https://pictures.example.com/a/cat.png?size=2"),
        ("HTTPS://Pictures.Example.COM", "https://pictures.example.com/"),
        ("https://example.com.:443/", "https://example.com/"),
        ("http://example.com:8080?x=1", "http://example.com:8080/?x=1"),
        ("http://93.184.216.34/", "http://93.184.216.34/"),
        ("http://[2606:4700:4700::1111]:8443/x", "http://[2606:4700:4700::1111]:8443/x"),
        ("https://xn--exmple-cua.com/", "https://xn--exmple-cua.com/"),
        ("https://my_bucket.example.com/", "https://my_bucket.example.com/"),
    ],
)
def test_ordinary_addresses_are_read(url: str, read: str) -> None:
    place = parse_url(url)
    assert place.url == read
    assert parse_url(place.url) == place


def test_one_private_address_of_a_name_is_enough() -> None:
    place = parse_url("https://example.com/")
    check_addresses(place, ["93.184.216.34", "2606:4700:4700::1111"])
    with pytest.raises(FetchRefused, match="is not a public address"):
        check_addresses(place, ["93.184.216.34", "10.0.0.7"])


@pytest.mark.parametrize("text", ["", "x", "127.1", "fe80::1%eth0", "2606:4700::1%2", "1.2.3.4/8"])
def test_what_is_no_plain_address_is_not_public(text: str) -> None:
    assert not is_public(text)


ODD = st.from_regex(
    r"https?://[a-z0-9]{0,3}[.@:%#?/\\\[\]_-]{0,2}[a-z0-9]{0,3}\.?[a-z]{0,2}[.:@/?#a1é \t\n-]{0,4}", fullmatch=True
)


@given(ODD)
@settings(max_examples=200, deadline=None)
def test_what_is_read_is_read_alike_by_other_readers(url: str) -> None:
    # Checks are passed where two readers of a URL disagree about its host.
    try:
        place = parse_url(url)
    except FetchRefused:
        return
    other = urlsplit(place.url)
    assert (other.scheme, other.hostname, other.username) == (place.scheme, place.host, None)
    assert (other.port or {"http": 80, "https": 443}[place.scheme]) == place.port
    assert urlsplit(url).hostname in (place.host, f"{place.host}.")


@given(st.ip_addresses())
def test_addresses_that_carry_others_are_never_public(address: IPv4Address | IPv6Address) -> None:
    assert not (is_public(str(address)) and (address.is_private or address.is_multicast or address.is_reserved))
    if isinstance(address, IPv4Address):
        for carrier in (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}"):
            assert not is_public(carrier)
