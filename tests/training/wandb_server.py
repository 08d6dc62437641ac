"""As much of a wandb server as `wandb sync` needs: what it would show of each run."""

import contextlib
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PROJECT = {"id": "p", "name": "r2mae", "entity": {"id": "e", "name": "me"}}


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        """Be silent."""

    def do_POST(self):
        """Answer GraphQL, and keep history lines at the offsets that the client names."""
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        answer = {}
        if self.path == "/graphql":
            answer = {"data": self.answer(json.loads(raw))}
        elif self.path.endswith("/file_stream"):
            part = json.loads(raw).get("files", {}).get("wandb-history.jsonl")
            for number, line in enumerate(part["content"] if part else ()):
                history = self.server.histories.setdefault(self.path.split("/")[-2], {})
                history[part["offset"] + number] = json.loads(line)
        self.reply(answer)

    def reply(self, answer):
        """Send JSON."""
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, request):
        """To the queries of a sync, told apart by their names."""
        query, name = request["query"], (request.get("variables") or {}).get("name")
        history = self.server.histories.get(name, {})
        run = {
            "id": "r",
            "name": name,
            "displayName": name,
            "historyLineCount": len(history),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "tags": [],
        }
        if "RunResumeStatus" in query:
            last = history[max(history)] if history else {}
            run |= {"config": "{}", "wandbConfig": "{}", "eventsTail": "[]"}
            run |= {"summaryMetrics": json.dumps(last)}
            run |= {"historyTail": json.dumps([json.dumps(last)])}
            return {"model": _PROJECT | {"bucket": run if history else None}}
        if "upsertBucket" in query:
            self.server.configs.append(json.loads(request["variables"]["config"]))
            bucket = run | {"project": _PROJECT}
            return {"upsertBucket": {"bucket": bucket, "inserted": not history}}
        files = {"runID": "r", "uploadHeaders": [], "files": []}
        return {"serverInfo": {"features": []}, "createRunFiles": files}


@contextlib.contextmanager
def wandb_server():
    """A server with `url`, `histories` {run: {line: row}} and `configs`, oldest first."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.histories, server.configs = {}, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
