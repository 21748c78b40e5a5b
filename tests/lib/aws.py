"""AWS as far as credentials go: STS, a container's endpoint, instance metadata, and a receiver's check of signatures."""
import datetime
import hashlib
import hmac
import http.server
import json
import threading
import time
import urllib.parse


def now_text(ahead=0.0):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Aws:
    """Hands out keys, each once, that live `lives` seconds; knows their secrets. `asked`: what was asked of it, (what, details)."""

    def __init__(self, lives=3600):
        self.lives, self.asked, self.secrets, self.n, self.lock = lives, [], {"AKIDLONG": "long/secret"}, 0, threading.Lock()
        self.refuse = None  # what -> (status, body)
        self.ahead = 0  # seconds of its clock before ours
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def grant(self):
        with self.lock:
            self.n += 1
            key = {"AccessKeyId": f"ASIA{self.n}", "SecretAccessKey": f"secret/{self.n}+", "Token": f"token/{self.n}/of-the-usual-length=="}
        self.secrets[key["AccessKeyId"]] = key["SecretAccessKey"]
        end = threading.Timer(self.lives, self.secrets.pop, (key["AccessKeyId"], None))
        end.daemon = True
        end.start()
        return {**key, "Expiration": now_text(self.lives)}

    def answer(self, method, path, headers, body):
        """(what, details) and (status, text)."""
        if method == "POST":
            form = dict(urllib.parse.parse_qsl(body.decode()))
            what, details = form["Action"], form
            if what == "AssumeRole":
                details["signed_by"], words = check(method, path, headers, body, self.secrets, "sts", lambda: time.time() + self.ahead)
                if not details["signed_by"]:
                    return what, details, 403, f"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>{words}</Message></Error></ErrorResponse>"
            g = self.grant()
            text = (f"<{what}Response><{what}Result><Credentials><AccessKeyId>{g['AccessKeyId']}</AccessKeyId><SecretAccessKey>{g['SecretAccessKey']}"
                    f"</SecretAccessKey><SessionToken>{g['Token']}</SessionToken><Expiration>{g['Expiration']}</Expiration></Credentials></{what}Result></{what}Response>")
            return what, details, 200, text
        if path == "/latest/api/token":
            return "imds-token", {}, 200 if method == "PUT" and "x-aws-ec2-metadata-token-ttl-seconds" in headers else 400, "IMDSTOKEN"
        if path.startswith("/latest/meta-data/iam/security-credentials/"):
            if headers.get("x-aws-ec2-metadata-token") != "IMDSTOKEN":
                return "imds", {}, 401, ""
            return "imds", {}, 200, json.dumps(self.grant()) if path.endswith("/the-role") else "the-role\n"
        return "container", {"authorization": headers.get("authorization")}, 200, json.dumps(self.grant())

    def handler(self):
        aws = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                what, details, status, text = aws.answer(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                if aws.refuse and aws.refuse(what):
                    status, text = aws.refuse(what)
                aws.asked.append((what, details))
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_PUT = do_POST = do_GET

            def date_time_string(self, timestamp=None):
                return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + aws.ahead))

            def log_message(self, *args):
                pass

        return Handler


def check(method, path, headers, body, secrets, service, clock=time.time, region="eu-west-1"):
    """(access key id, None) when the signature is right, (None, AWS' words) otherwise. headers: with small names."""
    sign = lambda key, text: hmac.new(key, text.encode(), hashlib.sha256).digest()
    auth = headers.get("authorization", "")
    if not auth.startswith("AWS4-HMAC-SHA256 "):
        return None, "Missing Authentication Token"
    part = dict(p.strip().split("=", 1) for p in auth.split(" ", 1)[1].split(","))
    key_id, day, *scope = part["Credential"].split("/")
    date, names = headers["x-amz-date"], part["SignedHeaders"]
    if abs(datetime.datetime.strptime(date + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp() - clock()) > 300:
        return None, f"Signature expired: {date}"
    if scope != [region, service, "aws4_request"] or not date.startswith(day):
        return None, "Credential should be scoped to a valid region"
    if key_id not in secrets:
        return None, "The security token included in the request is expired"
    path, _, query = path.partition("?")
    canonical = "\n".join([method, urllib.parse.quote(path, safe="/-_.~"), query, *[f"{n}:{headers[n].strip()}" for n in names.split(";")], "", names,
                           hashlib.sha256(body).hexdigest()])
    key = ("AWS4" + secrets[key_id]).encode()
    for text in [day, *scope]:
        key = sign(key, text)
    want = sign(key, "\n".join(["AWS4-HMAC-SHA256", date, "/".join([day, *scope]), hashlib.sha256(canonical.encode()).hexdigest()])).hex()
    if not {"host", "x-amz-date"} <= set(names.split(";")) or ("x-amz-security-token" in headers) != ("x-amz-security-token" in names):
        return None, "a header that must be signed is not"
    return (key_id, None) if hmac.compare_digest(want, part["Signature"]) else (None, "The request signature we calculated does not match")
