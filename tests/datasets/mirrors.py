"""What the tests of downloads share: local HTTP servers with every bad habit of a mirror."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror:
    """A context manager: an HTTP server on this machine, in threads of its own.

    files: a dict of a path ("/name") to bytes, or to a function of the request handler that answers itself.
    requests: the paths asked for so far.
    """

    def __init__(self, files):
        self.files, self.requests = dict(files), []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requests.append(self.path)
                body = mirror.files.get(self.path)
                if body is None:
                    self.send_error(404)
                elif callable(body):
                    body(self)
                else:
                    answer(self, body, len(body))

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda request, address: None  # clients hang up: that is the point
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def answer(handler, body, announced):
    handler.send_response(200)
    if announced is not None:
        handler.send_header("Content-Length", str(announced))
    handler.end_headers()
    handler.wfile.write(body)


def truncated(body):
    """Announces all of `body` and hangs up in the middle."""
    return lambda handler: answer(handler, body[: len(body) // 2], len(body))


def without_length(body):
    return lambda handler: answer(handler, body, None)


def chunked(body, complete=True):
    def respond(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n" % len(body) + body + b"\r\n")
        if complete:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return respond


def silent(seconds, begin=b""):
    """Sends `begin` of an announced 1,000 bytes and then nothing for so many seconds."""

    def respond(handler):
        answer(handler, begin, 1000)
        time.sleep(seconds)

    return respond


def trickling(seconds):
    """Never silent for long, and never done: a byte now and then for so many seconds."""

    def respond(handler):
        answer(handler, b"", 1000)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    return respond


def closed_port_url():
    """The address of a port on this machine where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"
