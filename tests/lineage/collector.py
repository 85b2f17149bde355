"""A small OpenLineage server on this host: keeps what is posted, and does what a test asks of it."""
import contextlib
import http.server
import json
import threading


class Collector:
    def __init__(self):
        self.events, self.keys, self.paths = [], set(), set()
        self.status = 201
        self.first = threading.Event()
        self.answer = threading.Event()
        self.answer.set()


@contextlib.contextmanager
def server():
    """Yields a collector and its address."""
    collector = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.events.append(json.loads(body))
            collector.keys.add(self.headers.get("authorization"))
            collector.paths.add(self.path)
            collector.first.set()
            collector.answer.wait(60)
            with contextlib.suppress(OSError):
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_):
            pass

    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=one.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector, f"http://127.0.0.1:{one.server_port}"
    finally:
        collector.answer.set()
        one.shutdown()
        thread.join()
