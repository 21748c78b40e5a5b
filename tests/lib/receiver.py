"""A remote-write receiver that keeps everything it was given, in order, and behaves as badly as a test tells it to."""
import http.server
import socket
import threading
import time

from . import remote_write


class Request:
    def __init__(self, body, headers, at, status, path="/"):
        self.body, self.headers, self.at, self.status, self.path = body, headers, at, status, path
        self.kept = False

    @property
    def version(self):
        return self.headers["X-Prometheus-Remote-Write-Version"]

    def series(self):
        return [s[:2] for s in remote_write.decode2(self.body)] if self.version == "2.0.0" else remote_write.decode(self.body)


class Receiver:
    """behave(request) -> (status, headers, text), or "close" (no answer), or ("stall", seconds), or (status, function of the connection's
    handler that writes the answer). Default: 204 for everything.

    `requests` is the log; those answered 2xx count as stored, and those whose `kept` a behaviour has set. read(handler) reads a body of
    handler.length bytes. Thread-safe enough for a test: one lock around the log.
    """

    def __init__(self, port=0, behave=None, read=None):
        self.behave = behave or (lambda r: (204, {}, ""))
        self.read = read or (lambda handler: handler.rfile.read(handler.length))
        self.requests, self.lock = [], threading.Lock()
        self.port = port
        self.server = None
        self.start()

    def start(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer with a body takes 40 ms

            def setup(self):
                super().setup()
                receiver.connections.append(self.connection)

            def do_POST(self):
                at, self.length = time.monotonic(), int(self.headers["Content-Length"])
                request = Request(receiver.read(self), dict(self.headers), at, None, self.path)
                answer = receiver.behave(request)
                stall = answer[1] if isinstance(answer, tuple) and answer[0] == "stall" else 0
                with receiver.lock:
                    request.status = 0 if stall or answer == "close" else answer[0]
                    receiver.requests.append(request)
                time.sleep(stall)
                if stall or answer == "close":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if callable(answer[1]):
                    answer[1](self)
                    return
                status, headers, text = answer
                data = text.encode()
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(data)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            allow_reuse_address = True

            def handle_error(self, request, client_address):
                pass

        self.connections = []
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        """Down: open connections end, and new ones are refused from now on."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
            for c in self.connections:
                try:
                    c.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # closed already

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/api/v1/write"

    def stored(self):
        with self.lock:
            return [r for r in self.requests if r.kept or r.status and 200 <= r.status < 300]

    def samples(self):
        """{series: [(timestamp, value), ...] in order of arrival} of what was answered 2xx."""
        out = {}
        for r in self.stored():
            for labels, samples in r.series():
                out.setdefault(labels, []).extend(samples)
        return out
