from __future__ import annotations

import base64
import gzip
import io
import itertools
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from lift3d_ray.errors import ConfigError, FetchFailed, FetchRefused, InputError, UnreadablePhoto
from lift3d_ray.service.fetch import Fetcher
from lift3d_ray.service.wire import Internet, Wire, WireLimits
from tests.service.hosts import PUBLIC, Behave, FakeNetwork, host, response, says

URL = "http://pictures.example.com/cat.png"
LIMITS = WireLimits(total_s=20.0, connect_s=10.0, max_bytes=20_000)
HURRIED = WireLimits(total_s=1.0, max_bytes=20_000)


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 20), (200, 10, 10)).save(stream, "PNG")
    return stream.getvalue()


PNG = png()


def fetch(
    behave: Behave, url: str = URL, *, network: FakeNetwork | None = None, limits: WireLimits = LIMITS
) -> bytes:
    network = network or FakeNetwork()
    with host(behave) as serving:
        names = ("pictures.example.com", "other.example.com", *network.addresses)
        network.hosts = dict.fromkeys(names, serving.port)
        return Fetcher(wire=Wire(network=network, limits=limits)).fetch(url)


def test_a_picture_comes_from_the_address_that_was_checked() -> None:
    network = FakeNetwork()
    with host(says("200 OK", PNG, Content_Type="image/png")) as serving:
        network.hosts = {"pictures.example.com": serving.port}
        assert Fetcher(wire=Wire(network=network, limits=LIMITS)).fetch(f"{URL}?a=b#c") == PNG
    (request,) = serving.requests
    assert request.startswith(b"GET /cat.png?a=b HTTP/1.1\r\n")
    assert b"\r\nHost: pictures.example.com\r\n" in request
    assert b"\r\nAccept-Encoding: identity\r\n" in request
    assert (network.resolved, network.connected) == (["pictures.example.com"], [PUBLIC])


def test_chunked_answers_are_read() -> None:
    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (PNG[:30], PNG[30:], b""):
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))

    assert fetch(behave) == PNG


def test_a_name_that_turns_private_is_refused_at_its_second_look() -> None:
    # DNS rebinding: public when it was checked first, private when it is asked again.
    network = FakeNetwork(addresses={"pictures.example.com": [[PUBLIC], ["127.0.0.1"]]})
    assert fetch(says("200 OK", PNG), network=network) == PNG
    assert network.resolved == ["pictures.example.com"]  # asked once an exchange: nothing lies between check and use
    with pytest.raises(FetchRefused, match="not a public address"):
        fetch(says("200 OK", PNG), network=network)
    assert network.connected == [PUBLIC]


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["fe80::1%eth0"], [PUBLIC, "192.168.0.1"]]
)
def test_names_with_private_addresses_are_never_connected_to(addresses: list[str]) -> None:
    network = FakeNetwork(addresses={"inside.example.com": [addresses]})
    with pytest.raises(FetchRefused, match="not a public address"):
        fetch(says("200 OK", PNG), "http://inside.example.com/", network=network)
    assert network.connected == []


def redirects(*targets: str) -> Behave:
    """A host that redirects from one target to the next, then gives the picture."""
    left = iter(targets)

    def behave(connection: socket.socket, _: bytes) -> None:
        target = next(left, None)
        connection.sendall(
            response("200 OK", PNG) if target is None else response("302 Found", b"elsewhere", Location=target)
        )

    return behave


@pytest.mark.parametrize(
    "targets", [["/b.png"], ["b.png", "http://other.example.com/c.png", "//other.example.com/d.png"]]
)
def test_redirects_between_public_hosts_are_followed(targets: list[str]) -> None:
    assert fetch(redirects(*targets)) == PNG


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (["file:///etc/passwd"], "scheme"),
        (["http://169.254.169.254/latest/meta-data/"], "public"),
        (["http://127.0.0.1:8000/"], "public"),
        (["http://[::1]/"], "public"),
        (["//localhost/"], "full name"),
        (["/b.png", "http://2130706433/"], "notation"),
        (["gopher://other.example.com/"], "scheme"),
        (["http://a@other.example.com/"], "password"),
        (["data:image/png;base64,AAAA"], "no URL"),
        (["s3://bucket/key"], "scheme"),
        (["http://inside.example.com/"], "public"),
    ],
)
def test_redirects_are_checked_like_first_addresses(targets: list[str], reason: str) -> None:
    network = FakeNetwork(addresses={"inside.example.com": [["10.0.0.1"]]})
    with pytest.raises(FetchRefused, match=reason):
        fetch(redirects(*targets), network=network)
    assert set(network.connected) == {PUBLIC}


def test_redirects_end_after_three() -> None:
    with pytest.raises(FetchFailed, match="more than 3 times"):
        fetch(redirects(*["/again"] * 9))


def drips(start: bytes, drop: bytes) -> Behave:
    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        for _number in range(200):
            connection.sendall(drop)
            time.sleep(0.05)

    return behave


ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (drips(b"HTTP/1.1 200 OK\r\n", b"X"), "longer than 1 s"),
        (drips(b"", b"H"), "longer than 1 s"),
        (drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"\x89"), "longer than 1 s"),
        (drips(b"HTTP/1.1 200 OK\r\n\r\n", b"\x89"), "longer than 1 s"),
        (drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "longer than 1 s"),
        (lambda connection, _: time.sleep(3), "longer than 1 s"),
    ],
    ids=["slow head", "slow status", "slow body", "slow body without length", "continues", "silence"],
)
def test_slow_hosts_are_cut_at_the_deadline(behave: Behave, reason: str) -> None:
    started = time.monotonic()
    with pytest.raises(FetchFailed, match=reason):
        fetch(behave, limits=HURRIED)
    assert time.monotonic() - started < 2.5


def sends(data: bytes) -> Behave:
    return lambda connection, _: connection.sendall(data)


def forever(connection: socket.socket, _: bytes) -> None:
    connection.sendall(ENDLESS)
    for _number in itertools.repeat(0):
        connection.sendall(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (says("200 OK", b"a" * 20_001), "at most 20,000"),
        (forever, "more than 20,000"),
        (sends(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 30_000), "more than 20,000"),
        (says("200 OK", gzip.compress(b"\0" * 10_000_000), Content_Encoding="gzip"), "packed"),
        (says("200 OK", PNG, Content_Encoding="br"), "packed"),
        (sends(response("200 OK", PNG)[:-5]), "it sent"),
        (says("404 Not Found", PNG), "status 404"),
        (says("500 Oops", PNG), "status 500"),
        (says("302 Found"), "status 302"),
        (says("204 No Content"), "status 204"),
        (says("200 OK", PNG, Content_Length="-5"), "it sent"),
        (says("200 OK", PNG, Content_Length="x"), "did not answer"),
        (says("200 OK", PNG, Content_Length="9" * 5000), "did not answer|at most"),
        (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), "did not answer"),
        (sends(b"\x00" * 100), "did not answer"),
        (sends(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"), "did not answer"),
        (sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n"), "did not answer"),
        (sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "did not answer"),
        (sends(b""), "did not answer"),
    ],
)
def test_unusable_answers_are_told_in_words(behave: Behave, reason: str) -> None:
    with pytest.raises(FetchFailed, match=reason):
        fetch(behave)


@pytest.mark.parametrize("body", [b"", b"<html>hello</html>", b"%PDF-1.7", b"#!/bin/sh\n", gzip.compress(PNG)])
def test_what_is_no_picture_is_refused_by_its_bytes(body: bytes) -> None:
    with pytest.raises(UnreadablePhoto, match="wanted a picture"):
        fetch(says("200 OK", body, Content_Type="image/png"))


def test_unknown_names_and_closed_doors_are_told() -> None:
    with pytest.raises(FetchFailed, match="not known"):
        fetch(says("200 OK", PNG), "http://nobody.example.com/")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    network = FakeNetwork(hosts={"pictures.example.com": port})
    with pytest.raises(FetchFailed, match="did not answer"):
        Fetcher(wire=Wire(network=network, limits=LIMITS)).fetch(URL)


def test_the_next_address_is_tried_where_the_first_is_silent() -> None:
    class HalfDead(FakeNetwork):
        def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
            if address != PUBLIC:
                self.connected.append(address)
                raise ConnectionRefusedError("refused")
            return super().connect(address, port, timeout_s)

    network = HalfDead(addresses={"pictures.example.com": [["2606:4700::1", PUBLIC]]})
    assert fetch(says("200 OK", PNG), network=network) == PNG
    assert network.connected == ["2606:4700::1", PUBLIC]


def test_the_systems_resolver_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> list[object]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(TimeoutError, match="not resolved in time"):
        Internet().resolve("example.com", 80, 0.05)


def test_the_systems_resolver_tells_every_address() -> None:
    assert "127.0.0.1" in Internet().resolve("localhost", 80, 5)
    with pytest.raises(OSError, match="not known"):
        Internet().resolve("a" * 64 + ".example", 80, 5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of pictures.example.com in one file."""
    path = tmp_path_factory.mktemp("tls") / "pem"
    names = ["-subj", "/CN=x", "-addext", "subjectAltName=DNS:pictures.example.com"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    try:
        subprocess.run([*made, "-keyout", f"{path}", "-out", f"{path}.crt"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed here: apt-get install openssl")
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path




@pytest.mark.parametrize(("name", "trusted"), [("pictures", True), ("other", True), ("pictures", False)])
def test_certificates_are_checked_against_the_name(certificate: Path, name: str, trusted: bool) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context(cafile=str(certificate) if trusted else None)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = listener.accept()
            with server.wrap_socket(connection, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(response("200 OK", PNG))
        except OSError:
            pass



    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    network = FakeNetwork(hosts={f"{name}.example.com": listener.getsockname()[1]})
    fetcher = Fetcher(wire=Wire(network=network, limits=LIMITS, tls=client))
    try:
        if name == "pictures" and trusted:
            assert fetcher.fetch(f"https://{name}.example.com/") == PNG
        else:
            with pytest.raises(FetchFailed, match="certificate"):
                fetcher.fetch(f"https://{name}.example.com/")
    finally:
        thread.join(5)
        listener.close()


def data_uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_pictures_come_in_data_uris() -> None:
    fetcher = Fetcher(wire=Wire(network=FakeNetwork(), limits=LIMITS))
    assert fetcher.fetch(data_uri(PNG)) == PNG
    assert fetcher.fetch(data_uri(PNG).rstrip("=")) == PNG
    assert fetcher.fetch(data_uri(PNG, "IMAGE/JPEG;charset=utf-8")) == PNG  # its bytes say what it is
    assert fetcher.fetch("data:;base64," + base64.urlsafe_b64encode(PNG).decode()) == PNG


@pytest.mark.parametrize(
    "uri",
    [
        "data:",
        "data:,hello",
        "data:text/html;base64,PGh0bWw+",
        "data:image/png,%89PNG",
        "data:image/png;base64,@@@@",
        "data:image/png;base64,A",
        "data:image/png;base64,",
        "data:image/png;base64," + "A" * 40_000,
        "data:image/png;base64," + "=" * 900,
        "data:image/png" + ";a=b" * 2000 + ";base64,AAAA",
        data_uri(b"<html>"),
    ],
)
def test_odd_data_uris_are_refused(uri: str) -> None:
    with pytest.raises(InputError):
        Fetcher(wire=Wire(network=FakeNetwork(), limits=LIMITS)).fetch(uri)


def test_objects_are_read_only_under_the_prefixes(tmp_path: Path) -> None:
    (tmp_path / "open" / "deep").mkdir(parents=True)
    (tmp_path / "open" / "cat.png").write_bytes(PNG)
    (tmp_path / "open" / "deep" / "cat.png").write_bytes(PNG)
    (tmp_path / "open" / "big.png").write_bytes(PNG + b"\0" * 20_000)
    (tmp_path / "open-not").mkdir()
    (tmp_path / "open-not" / "cat.png").write_bytes(PNG)
    prefix = f"file://{tmp_path}/open"
    fetcher = Fetcher(wire=Wire(network=FakeNetwork(), limits=LIMITS), prefixes=(prefix,))
    assert fetcher.fetch(f"{prefix}/cat.png") == PNG
    assert fetcher.fetch(f"{prefix}/deep/cat.png") == PNG
    for outside in ("-not/cat.png", "/../open-not/cat.png", "/./cat.png", "//cat.png", "", "/cat.png?x=1", "/%2e%2e/x"):
        with pytest.raises(FetchRefused, match="is not fetched"):
            fetcher.fetch(prefix + outside)
    with pytest.raises(FetchFailed, match="at most 20,000"):
        fetcher.fetch(f"{prefix}/big.png")
    with pytest.raises(FetchFailed, match="cannot be read"):
        fetcher.fetch(f"{prefix}/none.png")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/cat.png",
        "s3://bucket/cat.png?endpoint_override=169.254.169.254",
        "s3://key:secret@bucket/cat.png",
        "gs://bucket/cat.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "hdfs://namenode/x",
        "mock://x",
        "s3:",
        "",
    ],
)
def test_object_stores_are_closed_by_default(uri: str) -> None:
    with pytest.raises(FetchRefused):
        Fetcher(wire=Wire(network=FakeNetwork(), limits=LIMITS)).fetch(uri)


def test_a_setting_that_opens_too_much_is_refused() -> None:
    for prefix in ("https://example.com", "s3://bucket/x?endpoint_override=y", "bucket", ""):
        with pytest.raises(ConfigError, match="plain URI"):
            Fetcher(prefixes=(prefix,))
    with pytest.raises(ConfigError, match="total_s must be positive"):
        WireLimits(total_s=0)
