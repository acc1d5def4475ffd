"""Clients of a service: in process for tests of the app, over a socket for clients that block."""

import threading
from collections.abc import Generator
from contextlib import contextmanager

import httpx

from cai.serving.app import BODY_S, MAX_BODY_BYTES, Service, create_app
from cai.serving.server import HttpServer, bind, url_of


def client_of(service: Service, max_body_bytes: int = MAX_BODY_BYTES) -> httpx.AsyncClient:
    """A client that calls the app in this event loop, without a socket."""
    transport = httpx.ASGITransport(create_app(service, max_body_bytes))
    return httpx.AsyncClient(transport=transport, base_url="http://server")


@contextmanager
def served(
    service: Service, max_body_bytes: int = MAX_BODY_BYTES, body_s: float = BODY_S
) -> Generator[str]:
    """The URL of the service, run by uvicorn in a thread."""
    server = HttpServer(create_app(service, max_body_bytes, body_s))
    listening = bind("127.0.0.1", 0)  # connections queue here until uvicorn accepts them
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield url_of(listening)
    finally:
        server.should_exit = True
        thread.join()
