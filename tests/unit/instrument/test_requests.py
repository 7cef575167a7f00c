"""The little of HTTP that a scrape needs is read strictly, and whatever comes, never breaks it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.instrument.requests import BadHead, Response, parse_head


def test_a_scrape_is_read() -> None:
    """As Prometheus sends it: names in any case, the first of several, the query apart."""
    request = parse_head(
        b"GET /metrics?exclude=vital HTTP/1.1\r\nHost: a:1\r\nACCEPT: text/plain\r\n"
        b"accept: second\r\nAuthorization:Bearer  x \r\n\r\n"
    )
    assert (request.method, request.path, request.query) == ("GET", "/metrics", "exclude=vital")
    assert request.headers == {"host": "a:1", "accept": "text/plain", "authorization": "Bearer  x"}


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET  /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/2.0\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n: no name\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nspace : c\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(head: bytes) -> None:
    """Whatever could be read in two ways is not read."""
    with pytest.raises(BadHead):
        parse_head(head)


@given(st.binary(max_size=300), st.sampled_from([b"", b"GET /", b"GET / HTTP/1.1\r\n"]))
def test_no_bytes_are_more_than_refused(rest: bytes, start: bytes) -> None:
    """Only the one error that is answered with 400, and no header that was not sent."""
    with contextlib.suppress(BadHead):
        request = parse_head(start + rest + b"\r\n\r\n")
        assert len(request.headers) <= rest.count(b":")


@given(st.text(), st.text())
def test_a_refusal_is_one_answer(error: str, detail: str) -> None:
    """No text can end the head early, or make the body longer than the head says."""
    head, _, body = Response.refusal(400, error, detail).encoded().partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    assert Response.refusal(400, error, detail).without_body().encoded() == head + b"\r\n\r\n"
