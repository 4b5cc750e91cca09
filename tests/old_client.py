#!/usr/bin/env python3
"""An integration as they were written for the original, from its public documentation alone: login with
the forced change of the password, contacts, every type of message, media there and back, settings, the
profile's photo, statuses and inbound messages of every type.

It speaks to a new gateway over HTTP, with the Python package `requests`; nothing of this repository is
linked. The sandbox's control API is used only to be the customer.

    scripts/with-gateway --new tests/old_client.py --rest {rest} --sandbox {sandbox}

What a version does not have yet is left out by name (--without support); it then must fail, or it is time
to take it in. Each step says its name when it held. The last line of stdout is one JSON object; the exit code is 0 when
all of it held.
"""

import argparse
import base64
import datetime
import hashlib
import http.server
import json
import os
import queue
import random
import sys
import threading
import time
import zlib

import requests

FIRST_PASSWORD = "secret"
PASSWORD = "Old-client-2021!"
CALLBACK_S = 30
PHONE = "4915123450010"
# Customers of one step only, so that its callbacks cannot be another's.
WRITERS = iter(range(491520000010, 491520009000, 10))


class Failed(Exception):
    """Something is not as documented."""


def check(condition, what):
    if not condition:
        raise Failed(what)


# === The library an integrator wrote ================================================================


class ApiError(Exception):
    def __init__(self, response):
        try:
            self.errors = response.json().get("errors", [])
        except ValueError:
            self.errors = []
        self.status = response.status_code
        self.code = self.errors[0]["code"] if self.errors else None
        super().__init__(f"{response.request.method} {response.request.url}: {self.status} {response.text[:300]}")


class Client:
    """`/v1` with a bearer token; logs in again when the token is refused."""

    def __init__(self, base, user, password):
        self.base, self.user, self.password = base.rstrip("/") + "/v1", user, password
        self.http = requests.Session()
        # As most integrations did: the certificate is self-signed.
        self.http.verify = False

    def login(self, new_password=None):
        response = self.http.post(self.base + "/users/login", auth=(self.user, self.password),
                                  json={"new_password": new_password} if new_password else None)
        if response.status_code != 200:
            raise ApiError(response)
        if new_password:
            self.password = new_password
        entry = response.json()["users"][0]
        self.http.headers["Authorization"] = "Bearer " + entry["token"]
        return datetime.datetime.strptime(entry["expires_after"], "%Y-%m-%d %H:%M:%S%z")

    def call(self, method, path, body=None, data=None, content_type=None, **more):
        headers = {"Content-Type": content_type} if content_type else None
        response = self.http.request(method, self.base + path, json=body, data=data, headers=headers,
                                     timeout=60, **more)
        if response.status_code not in (200, 201, 202):
            raise ApiError(response)
        return response

    def json(self, method, path, body=None, **more):
        answer = self.call(method, path, body, **more).json()
        check("errors" not in answer or not answer["errors"], f"{method} {path}: errors beside a success")
        return answer

    def contacts(self, numbers, blocking="wait"):
        return self.json("POST", "/contacts", {"blocking": blocking, "contacts": numbers})["contacts"]

    def send(self, to, kind, content, **more):
        body = {"to": to, "type": kind, "recipient_type": "individual", kind: content, **more}
        return self.json("POST", "/messages", body)["messages"][0]["id"]

    def upload(self, data, mime):
        return self.json("POST", "/media", data=data, content_type=mime)["media"][0]["id"]

    def download(self, media):
        response = self.call("GET", "/media/" + media)
        return response.content, response.headers["Content-Type"]


class Webhook:
    """Takes callbacks; answers 200 and nothing else, as the documentation asked for."""

    def __init__(self):
        self.arrived = queue.Queue()
        self.kept = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.arrived.put(json.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhook"

    def wait(self, what, wanted):
        """The first callback for which `wanted` gives something; what it gave."""
        deadline = time.monotonic() + CALLBACK_S
        for kept in self.kept:
            if (found := wanted(kept)) is not None:
                return found
        while True:
            try:
                one = self.arrived.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise Failed(f"no callback within {CALLBACK_S} s: {what}; the last were "
                             f"{json.dumps(self.kept[-3:])[:1500]}") from None
            self.kept.append(one)
            if (found := wanted(one)) is not None:
                return found

    def status(self, message, status):
        def wanted(callback):
            for one in callback.get("statuses", []):
                if one["id"] == message and one["status"] == status:
                    return one
        return self.wait(f"status {status} of {message}", wanted)

    def message(self, sender, kind):
        def wanted(callback):
            for one in callback.get("messages", []):
                if one["from"] == sender and one["type"] == kind:
                    return callback, one
        return self.wait(f"{kind} from {sender}", wanted)


class Customer:
    """A phone of the sandbox."""

    def __init__(self, base, number):
        self.base, self.number = base.rstrip("/"), number

    def write(self, kind, content, **more):
        body = {"type": kind, **({kind: content} if content is not None else {}), **more}
        answer = requests.post(f"{self.base}/phones/{self.number}/messages", json=body, timeout=30)
        check(answer.ok, f"the customer cannot write {kind}: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    def received(self, message):
        """What the phone decrypted of that message."""
        deadline = time.monotonic() + CALLBACK_S
        while time.monotonic() < deadline:
            page = requests.get(f"{self.base}/phones/{self.number}/messages", timeout=30).json()
            for one in page["messages"]:
                if one["id"] == message and one["content"] is not None:
                    return one["content"]
            time.sleep(0.05)
        raise Failed(f"the phone did not get {message} within {CALLBACK_S} s")


# === Media, made here ===============================================================================


def png(side=640, seed=7):
    """A square picture of noise."""
    noise = random.Random(seed)

    def chunk(name, data):
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    rows = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))
    head = side.to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1))
            + chunk(b"IEND", b""))


def webp():
    """1 × 1, lossless."""
    return base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")


def mp4(brand=b"isom"):
    box = b"ftyp" + brand + b"\0\0\2\0" + brand
    return (len(box) + 4).to_bytes(4, "big") + box + b"\0" * 64


def ogg():
    return b"OggS" + b"\0" * 24 + b"OpusHead" + b"\1\1" + b"\0" * 64


MEDIA = {
    "image": ("image/png", lambda: png(200)),
    "audio": ("audio/ogg; codecs=opus", ogg),
    "video": ("video/mp4", mp4),
    "document": ("application/pdf", lambda: b"%PDF-1.4\n" + os.urandom(50_000) + b"\n%%EOF\n"),
    "sticker": ("image/webp", webp),
}


# === The steps ======================================================================================


class Steps:
    def __init__(self, rest, sandbox):
        self.rest, self.sandbox = rest, sandbox
        self.client = Client(rest, "admin", FIRST_PASSWORD)
        self.webhook = Webhook()
        self.counted = {"messages": 0, "inbound": 0, "media": 0}

    def phone(self, number=PHONE):
        return Customer(self.sandbox, number)

    def refused(self, status, code, call):
        try:
            call()
        except ApiError as error:
            check((error.status, error.code) == (status, code),
                  f"answered {error.status}/{error.code}, documented is {status}/{code}: {error}")
            check(all(isinstance(one["title"], str) for one in error.errors), "an error without a title")
            return error
        raise Failed(f"accepted, documented is {status}/{code}")

    def login_with_forced_change(self):
        client = self.client
        self.refused(403, 1024, client.login)
        expires = client.login(new_password=PASSWORD)
        left = expires - datetime.datetime.now(datetime.timezone.utc)
        check(abs(left - datetime.timedelta(days=7)) < datetime.timedelta(minutes=5),
              f"the token lives for {left}, documented are 7 days")
        wrong = Client(self.rest, "admin", "Wrong-1-password!")
        try:
            wrong.login()
        except ApiError as error:
            check(error.status == 401, f"a wrong password is answered {error.status}")
        else:
            raise Failed("a wrong password is accepted")

    def users(self):
        client = self.client
        made = client.json("POST", "/users", {"username": "clerk_7", "password": "Passw0rd!x"})
        check(made["users"] == [{"username": "clerk_7"}], f"POST /users: {made}")
        seen = client.json("GET", "/users/clerk_7")["users"][0]
        check(seen == {"username": "clerk_7", "ROLES": "ROLE_USER"}, f"GET /users/clerk_7: {seen}")
        clerk = Client(self.rest, "clerk_7", "Passw0rd!x")
        clerk.login()
        self.refused(403, 1005, lambda: clerk.json("GET", "/settings/application"))
        client.json("PUT", "/users/clerk_7", {"password": "An0ther!one"})
        clerk.password = "An0ther!one"
        clerk.login()
        clerk.json("POST", "/users/logout")
        try:
            clerk.json("GET", "/health")
        except ApiError as error:
            check(error.status == 401, f"a token is answered {error.status} after logout")
        else:
            raise Failed("a token is good after logout")
        client.json("DELETE", "/users/clerk_7")
        self.refused(404, 1006, lambda: client.json("GET", "/users/clerk_7"))

    def settings(self):
        client = self.client
        client.json("PATCH", "/settings/application", {
            "callback_backoff_delay_ms": "3000", "max_callback_backoff_delay_ms": "900000",
            "callback_persist": True, "sent_status": True, "on_call_pager": "16315550000",
            "notify_user_change_number": True, "show_security_notifications": False,
            "unhealthy_interval": 30, "heartbeat_interval": 5,
            "media": {"auto_download": ["image", "document", "audio", "video", "voice", "sticker"]},
            "garbagecollector_enable": {"messages": True, "media": False},
            "webhooks": {"url": self.webhook.url, "max_concurrent_requests": 12,
                         "message": {"sent": True, "delivered": True, "read": True}}})
        seen = client.json("GET", "/settings/application")["settings"]["application"]
        check(seen["callback_backoff_delay_ms"] == 3000, f"the delay is shown as {seen}")
        check(seen["webhooks"]["url"] == self.webhook.url, f"the URL is shown as {seen['webhooks']}")
        check(sorted(seen["media"]["auto_download"]) == ["audio", "document", "image", "sticker", "video",
                                                         "voice"], f"auto_download: {seen['media']}")
        self.refused(400, 1009, lambda: client.json(
            "PATCH", "/settings/application", {"media": {"auto_download": ["smell"]}}))

    def health(self):
        health = self.client.json("GET", "/health")["health"]
        check(health.get("gateway_status") == "connected", f"health: {health}")
        stats = self.client.json("GET", "/stats/app")["stats"]["app"]
        check(all({"type", "help", "data"} <= set(one) for one in stats.values()), "the shape of /stats/app")
        text = self.client.call("GET", "/stats/app?format=prometheus").text
        check("# TYPE" in text, "the exposition of /stats/app")

    def support(self):
        support = self.client.json("GET", "/support")["support"]
        check("debug_info" in json.dumps(support), f"support: {support}")

    def check_contacts(self):
        numbers = ["+49 1512 3450010", "+1 (631) 555-1004"]
        contacts = self.client.contacts(numbers)
        check([one["input"] for one in contacts] == numbers, f"the inputs of {contacts}")
        check(contacts[0]["status"] == "valid" and contacts[0]["wa_id"] == PHONE, f"contacts: {contacts}")
        check(contacts[1]["wa_id"] == "16315551004", f"contacts: {contacts}")
        self.refused(400, 1008, lambda: self.client.json("POST", "/contacts", {"blocking": "wait"}))

    def sent(self, kind, content, shown=None, to=PHONE, **more):
        """Sends, awaits sent, delivered and read, and what the phone shows."""
        message = self.client.send(to, kind, content, **more)
        for status in ("sent", "delivered", "read"):
            one = self.webhook.status(message, status)
            check(one["recipient_id"] == to and one["timestamp"].isdigit(), f"the status {one}")
        got = self.phone(to).received(message)
        check(got["type"] == kind, f"the phone got {got}")
        for field, value in (shown or {}).items():
            check(got[kind].get(field) == value, f"the phone got {got}, sent was {field} = {value}")
        self.counted["messages"] += 1
        return message

    def text(self):
        first = self.sent("text", {"body": "Hello Ada"}, {"body": "Hello Ada"})
        self.sent("text", {"body": "See https://example.com"}, preview_url=True)
        self.sent("text", {"body": "An answer"}, context={"message_id": first})
        # Without `type` and `recipient_type` it is a text.
        body = {"to": "+49 1512 3450010", "text": {"body": "short form"}}
        message = self.client.json("POST", "/messages/", body)["messages"][0]["id"]
        self.webhook.status(message, "read")
        error = self.refused(400, 1008, lambda: self.client.send(PHONE, "text", {}))
        check("body" in error.errors[0]["details"], f"the details do not name the field: {error.errors}")
        self.refused(400, 1001, lambda: self.client.send(PHONE, "text", {"body": "x" * 4097}))

    def media(self):
        for kind, (mime, make) in MEDIA.items():
            data = make()
            media = self.client.upload(data, mime)
            got, content_type = self.client.download(media)
            check(hashlib.sha256(got).digest() == hashlib.sha256(data).digest(), f"{kind} came back otherwise")
            check(content_type == mime, f"{kind} came back as {content_type}")
            content = {"id": media}
            if kind in ("image", "video", "document"):
                content["caption"] = "A caption"
            if kind == "document":
                content["filename"] = "order.pdf"
            self.sent(kind, content)
            self.counted["media"] += 1
        gone = self.client.upload(b"%PDF-1.4\n", "application/pdf")
        self.client.json("DELETE", "/media/" + gone)
        self.refused(404, 1006, lambda: self.client.call("GET", "/media/" + gone))
        self.refused(400, 1009, lambda: self.client.upload(b"OggS", "audio/ogg"))

    def location_contacts_reaction(self):
        self.sent("location", {"latitude": 48.137, "longitude": 11.575, "name": "Town hall",
                               "address": "Marienplatz 8"}, {"name": "Town hall"})
        card = {"name": {"formatted_name": "Ada Lovelace", "first_name": "Ada"},
                "phones": [{"phone": "+49 1512 3450010", "type": "CELL", "wa_id": PHONE}],
                "emails": [{"email": "ada@example.com", "type": "WORK"}],
                "addresses": [{"street": "1 Hacker Way", "city": "Menlo Park", "state": "CA", "zip": "94025",
                               "country": "United States", "country_code": "us", "type": "HOME"}],
                "urls": [{"url": "https://example.com", "type": "WORK"}],
                "org": {"company": "Engines", "department": "Analysis", "title": "Countess"},
                "birthday": "1815-12-10"}
        self.sent("contacts", [card])
        message = self.sent("text", {"body": "like me"})
        self.sent("reaction", {"message_id": message, "emoji": "\U0001f44d"}, {"emoji": "\U0001f44d"})

    def template(self):
        parameters = [{"type": "text", "text": "Ada"},
                      {"type": "currency", "currency": {"fallback_value": "$9.90", "code": "USD",
                                                        "amount_1000": 9900}},
                      {"type": "date_time", "date_time": {"fallback_value": "25 Feb 1977", "day_of_week": 5,
                                                          "day_of_month": 25, "year": 1977, "month": 2,
                                                          "hour": 15, "minute": 33}}]
        self.sent("template", {
            "namespace": "8f4c0d6a_1111_2222_3333_444455556666", "name": "order_shipped",
            "language": {"policy": "deterministic", "code": "en_US"},
            "components": [
                {"type": "header", "parameters": [{"type": "text", "text": "Order 17"}]},
                {"type": "body", "parameters": parameters},
                {"type": "button", "sub_type": "quick_reply", "index": "0",
                 "parameters": [{"type": "payload", "payload": "yes-17"}]},
                {"type": "button", "sub_type": "url", "index": 1,
                 "parameters": [{"type": "text", "text": "track/17"}]}]}, {"name": "order_shipped"})
        self.sent("hsm", {
            "namespace": "8f4c0d6a_1111_2222_3333_444455556666", "element_name": "hello",
            "language": {"policy": "deterministic", "code": "en"},
            "localizable_params": [{"default": "1"},
                                   {"default": "$1", "currency": {"currency_code": "USD",
                                                                  "amount_1000": 1000}}]})

    def interactive(self):
        body = {"text": "Which day?"}
        for content in (
            {"type": "button", "header": {"type": "text", "text": "Delivery"}, "body": body,
             "footer": {"text": "Thank you"},
             "action": {"buttons": [{"type": "reply", "reply": {"id": "mo", "title": "Monday"}},
                                    {"type": "reply", "reply": {"id": "tu", "title": "Tuesday"}}]}},
            {"type": "list", "body": body,
             "action": {"button": "Days", "sections": [
                 {"title": "Next week", "rows": [{"id": "row-1", "title": "Monday"},
                                                 {"id": "row-2", "title": "Tuesday",
                                                  "description": "9 to 12"}]}]}},
            {"type": "product", "body": body,
             "action": {"catalog_id": "367025965434465", "product_retailer_id": "sku-1"}},
            {"type": "product_list", "header": {"type": "text", "text": "Offers"}, "body": body,
             "action": {"catalog_id": "367025965434465", "sections": [
                 {"title": "New", "product_items": [{"product_retailer_id": "sku-1"},
                                                    {"product_retailer_id": "sku-2"}]}]}},
            {"type": "location_request_message", "body": body, "action": {"name": "send_location"}},
        ):
            self.sent("interactive", content, {"type": content["type"]})
        buttons = [{"type": "reply", "reply": {"id": str(n), "title": f"Day {n}"}} for n in range(4)]
        self.refused(400, 1009, lambda: self.client.send(PHONE, "interactive", {
            "type": "button", "body": body, "action": {"buttons": buttons}}))

    def inbound(self, kind, content, holds=None, **more):
        number = str(next(WRITERS))
        self.phone(number).write(kind, content, **more)
        callback, message = self.webhook.message(number, kind)
        check(message["timestamp"].isdigit() and isinstance(message["id"], str), f"the message {message}")
        if kind != "system":
            check(callback["contacts"][0]["wa_id"] == number, f"the contacts of {callback}")
            check("name" in callback["contacts"][0]["profile"], f"the profile of {callback}")
        if holds is not None:
            check(all(message[kind].get(field) == value for field, value in holds.items()),
                  f"written was {holds}, called back {message}")
        self.counted["inbound"] += 1
        return message

    def inbound_messages(self):
        text = {"body": "Hello"}
        message = self.inbound("text", text, text)
        self.client.json("PUT", "/messages/" + message["id"], {"status": "read"})
        self.refused(400, 1009, lambda: self.client.json(
            "PUT", "/messages/" + message["id"], {"status": "eaten"}))
        place = {"latitude": 48.1, "longitude": 11.5, "name": "Here"}
        self.inbound("location", place, place)
        self.inbound("contacts", [{"name": {"formatted_name": "Bob"}, "phones": [{"phone": "+1 631 555 1004"}]}])
        button = {"payload": "yes-17", "text": "Yes"}
        self.inbound("button", button, button)
        for reply in ({"type": "button_reply", "button_reply": {"id": "mo", "title": "Monday"}},
                      {"type": "list_reply", "list_reply": {"id": "row-2", "title": "Tuesday",
                                                            "description": "9 to 12"}},
                      {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent",
                                                          "response_json": "{\"a\":1}"}}):
            self.inbound("interactive", reply, reply)
        order = {"catalog_id": "367025965434465", "text": "Please", "product_items": [
            {"product_retailer_id": "sku-1", "quantity": 2, "item_price": 9.9, "currency": "USD"}]}
        self.inbound("order", order, order)
        sent = self.sent("text", {"body": "react to me"})
        reaction = {"message_id": sent, "emoji": "\u2764"}
        self.inbound("reaction", reaction, reaction)
        self.inbound("ephemeral", None)
        check(self.inbound("unknown", None)["errors"][0]["code"] == 501, "unknown comes with error 501")

    def inbound_media(self):
        for kind, (mime, make) in {**MEDIA, "voice": ("audio/ogg; codecs=opus", ogg)}.items():
            data = make()
            content = {"mime_type": mime, "data": base64.b64encode(data).decode()}
            message = self.inbound(kind, content)
            check(message[kind]["mime_type"] == mime, f"the type of {message}")
            check(message[kind]["sha256"] == hashlib.sha256(data).hexdigest(), f"the checksum of {message}")
            got, _ = self.client.download(message[kind]["id"])
            check(got == data, f"an inbound {kind} is downloaded otherwise")

    def profile(self):
        client = self.client
        profile = {"address": "1 Hacker Way", "description": "Engines", "email": "info@example.com",
                   "vertical": "Professional Services", "websites": ["https://example.com"]}
        client.json("POST", "/settings/business/profile", profile)
        seen = client.json("GET", "/settings/business/profile")["settings"]["business"]["profile"]
        check(seen == profile, f"the profile is shown as {seen}")
        client.json("PATCH", "/settings/profile/about", {"text": "Open day and night"})
        about = client.json("GET", "/settings/profile/about")["settings"]["profile"]["about"]
        check(about == {"text": "Open day and night"}, f"about is shown as {about}")
        self.refused(404, 1006, lambda: client.call("GET", "/settings/profile/photo"))
        client.json("POST", "/settings/profile/photo", data=png(), content_type="image/png")
        photo = client.call("GET", "/settings/profile/photo")
        check(photo.headers["Content-Type"].startswith("image/"), "the photo is no image")
        link = client.json("GET", "/settings/profile/photo?format=link")
        check(link["settings"]["profile"]["photo"]["link"].startswith("http"), f"the link {link}")
        client.json("DELETE", "/settings/profile/photo")
        self.refused(404, 1006, lambda: client.call("GET", "/settings/profile/photo"))

    def failures(self):
        nobody = "4915123450000"
        message = self.client.send(nobody, "text", {"body": "Nobody there"})
        status = self.webhook.status(message, "failed")
        check(status["errors"][0]["code"] in (470, 1013), f"an unregistered number: {status}")
        spam = self.client.send("4915123450009", "text", {"body": "Buy!"})
        check(self.webhook.status(spam, "failed")["errors"][0]["code"] == 471, "refused as spam")
        self.refused(400, 1009, lambda: self.client.send("nobody", "text", {"body": "x"}))
        self.refused(400, 1002, lambda: self.client.json(
            "POST", "/messages", {"to": PHONE, "recipient_type": "crowd", "text": {"body": "x"}}))

    def run(self, without):
        """What did not hold, by step. Without a login or a webhook nothing else can."""
        self.login_with_forced_change()
        self.settings()
        failed = {}
        for step in (self.users, self.health, self.support, self.check_contacts, self.text, self.media,
                     self.location_contacts_reaction, self.template, self.interactive,
                     self.inbound_messages, self.inbound_media, self.profile, self.failures):
            try:
                step()
            except (Failed, ApiError, LookupError, TypeError) as error:
                if step.__name__ in without:
                    print(f"{step.__name__}: not in this version", file=sys.stderr)
                    continue
                failed[step.__name__] = repr(error)
                print(f"{step.__name__}: {error}", file=sys.stderr)
            else:
                if step.__name__ in without:
                    failed[step.__name__] = "is there: take it in"
                print(f"{step.__name__}: as documented", file=sys.stderr)
        return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rest", required=True, help="URL of the REST API of a new gateway")
    parser.add_argument("--sandbox", required=True, help="URL of the sandbox's control API")
    parser.add_argument("--without", action="append", default=[], metavar="STEP",
                        help="which this version does not have")
    args = parser.parse_args()
    steps = Steps(args.rest, args.sandbox)
    try:
        failed = steps.run(args.without)
    except (Failed, ApiError) as error:
        failed = {"login and settings": str(error)}
    print(json.dumps({"ok": not failed, "failed": failed, **steps.counted}))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
