"""A checker as a service, in Cohort's form (POST /) and in OpenRLHF's (POST /openrlhf).

    python3 http_checker.py 8008 &
    cohort score --reward http://127.0.0.1:8008/ --in rows.jsonl
    cohort score --reward openrlhf:http://127.0.0.1:8008/openrlhf --in rows.jsonl
"""

import http.server
import json
import sys


def answers(items):
    return [{"id": i["id"], "score": float(str(i["ground_truth"]) in i["completion"])} for i in items]


def rewards(request):
    pairs = zip(request["query"], request["prompts"], request["labels"])
    return {"rewards": [float(str(label) in query[len(prompt):]) for query, prompt, label in pairs]}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(rewards(request) if self.path == "/openrlhf" else answers(request)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(f"listening on port {server.server_port}", flush=True)
server.serve_forever()
