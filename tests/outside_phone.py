#!/usr/bin/env python3
"""An outside phone in another language: proves that what the coreapp seals can be read by somebody
who knows only the wire format (docs/decisions/003), and the other way round.

It speaks to a running stack over HTTP alone: the REST API of the webapp, and the control API of the
sandbox. Nothing of this repository is linked. Needs the Python package `cryptography`.

    tests/outside_phone.py --rest http://127.0.0.1:9091 --sandbox http://127.0.0.1:9080 \
        --user admin --password First-steps-1

1. registers a phone; a stranger's first message comes, and three more that are read out of order;
2. the phone answers; the business writes on the session that both have now;
3. a second phone writes first, with a bundle of the business; the business answers it.

Callbacks are awaited at a receiver of its own (which becomes `webhooks.url`), or in a file that
grows with what `heliograph up` prints (--callback-file). The last line of stdout is one JSON object;
the exit code is 0 when all of it held.
"""

import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAX_GAP = 2_000


class Failed(Exception):
    """Something did not hold."""


def check(condition, what):
    if not condition:
        raise Failed(what)


# === Keys ============================================================================================


class Pair:
    def __init__(self, secret=None):
        self.secret = secret or os.urandom(32)
        private = X25519PrivateKey.from_private_bytes(self.secret)
        raw = private.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        self.public = b"\x05" + raw

    def agree(self, public):
        check(len(public) == 33 and public[0] == 5, "a public key is 0x05 and 32 bytes")
        private = X25519PrivateKey.from_private_bytes(self.secret)
        return private.exchange(X25519PublicKey.from_public_bytes(public[1:]))


def hkdf(secret, salt, info, length):
    return HKDF(hashes.SHA256(), length, salt or bytes(32), info).derive(secret)


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


# XEdDSA, on the few operations of Edwards25519 that signing takes.

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e = (y1 - x1) * (y2 - x2) % P
    f = (y1 + x1) * (y2 + x2) % P
    g = 2 * t1 * t2 * D % P
    h = 2 * z1 * z2 % P
    a, b, c, d = f - e, h - g, h + g, f + e
    return a * b % P, c * d % P, b * c % P, a * d % P


def multiply_base(scalar):
    out, power = (0, 1, 1, 0), (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)
    while scalar:
        if scalar & 1:
            out = add(out, power)
        power = add(power, power)
        scalar >>= 1
    return out


def compressed(point):
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def xeddsa_sign(pair, message):
    secret = bytearray(pair.secret)
    secret[0] &= 248
    secret[31] = secret[31] & 127 | 64
    scalar = int.from_bytes(secret, "little")
    public = compressed(multiply_base(scalar))
    if public[31] & 0x80:
        scalar, public = -scalar % Q, public[:31] + bytes([public[31] & 0x7F])
    scalar %= Q
    prefix = b"\xfe" + b"\xff" * 31
    nonce = prefix + scalar.to_bytes(32, "little") + message + os.urandom(64)
    r = int.from_bytes(hashlib.sha512(nonce).digest(), "little") % Q
    big_r = compressed(multiply_base(r))
    h = int.from_bytes(hashlib.sha512(big_r + public + message).digest(), "little") % Q
    return big_r + ((r + h * scalar) % Q).to_bytes(32, "little")


def xeddsa_verify(identity, message, signature):
    u = int.from_bytes(identity[1:], "little")
    y = (u - 1) * pow(u + 1, -1, P) % P
    sign = signature[63] & 0x80
    key = bytearray(y.to_bytes(32, "little"))
    key[31] |= sign
    plain = signature[:63] + bytes([signature[63] & 0x7F])
    try:
        Ed25519PublicKey.from_public_bytes(bytes(key)).verify(plain, message)
        return True
    except InvalidSignature:
        return False


# === Wire format =====================================================================================


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def fields_out(fields):
    out = b""
    for number, value in fields:
        if value is None:
            continue
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def fields_in(data):
    at, out = 0, {}

    def number():
        nonlocal at
        value = shift = 0
        while True:
            check(at < len(data) and shift < 64, "a varint is cut off")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            out[tag >> 3] = number()
        elif tag & 7 == 2:
            length = number()
            check(at + length <= len(data), "a field is cut off")
            out[tag >> 3] = data[at : at + length]
            at += length
        else:
            raise Failed("a field has a wire type that no message has")
    return out


def body_of(data):
    check(data and data[0] >> 4 == 3, "the session version is 3")
    return data[1:]


# === Sessions ========================================================================================


class Chain:
    """A receiving chain: its next key, and those of messages not seen yet."""

    def __init__(self, key):
        self.key, self.counter, self.skipped = key, 0, {}

    def seed(self, counter):
        if counter < self.counter:
            check(counter in self.skipped, "a message is decrypted once")
            return self.skipped[counter]
        check(counter - self.counter <= MAX_GAP, "a message is too far ahead")
        key, at, skipped = self.key, self.counter, {}
        while True:
            seed, key = mac(key, b"\x01"), mac(key, b"\x02")
            if at == counter:
                return seed, key, skipped
            skipped[at] = seed
            at += 1

    def settle(self, counter, found):
        if isinstance(found, bytes):
            del self.skipped[counter]
        else:
            _, self.key, skipped = found
            self.skipped.update(skipped)
            self.counter = counter + 1


class Session:
    """The Double Ratchet with one peer."""

    def __init__(self, own, peer, root):
        self.own, self.peer, self.root = own, peer, root
        self.ratchet = self.sending = self.pending = None
        self.counter = self.sent_before = 0
        self.chains = {}

    def step(self, root, pair, public):
        keys = hkdf(pair.agree(public), root, b"WhisperRatchet", 64)
        return keys[:32], keys[32:]

    @staticmethod
    def agreed(secrets):
        keys = hkdf(b"\xff" * 32 + b"".join(secrets), None, b"WhisperText", 64)
        return keys[:32], keys[32:]

    @classmethod
    def accepted(cls, phone, message):
        """What a stranger has begun, from the fields of its pre-key message."""
        check(message[6] == phone.signed_id, "it names our signed pre-key")
        base, identity = message[2], message[3]
        secrets = [
            phone.signed.agree(identity),
            phone.identity.agree(base),
            phone.signed.agree(base),
        ]
        if 1 in message:
            check(message[1] in phone.one_time, "it names a one-time pre-key we still have")
            secrets.append(phone.one_time.pop(message[1]).agree(base))
        root, _ = cls.agreed(secrets)
        session = cls(phone.identity, identity, root)
        session.ratchet = phone.signed
        return session

    @classmethod
    def initiated(cls, phone, bundle):
        signed = b64(bundle["signed_pre_key"]["public"])
        identity = b64(bundle["identity_key"])
        signature = b64(bundle["signed_pre_key"]["signature"])
        check(xeddsa_verify(identity, signed, signature), "the business signed its pre-key")
        check(not xeddsa_verify(identity, signed[:-1] + b"\0", signature), "and nothing else")
        base = Pair()
        secrets = [phone.identity.agree(signed), base.agree(identity), base.agree(signed)]
        one_time = bundle["one_time_pre_key"]
        if one_time:
            secrets.append(base.agree(b64(one_time["public"])))
        root, _ = cls.agreed(secrets)
        session = cls(phone.identity, identity, root)
        session.ratchet = Pair()
        session.root, session.sending = session.step(root, session.ratchet, signed)
        session.pending = [
            (1, one_time and one_time["id"]),
            (2, base.public),
            (3, phone.identity.public),
            (5, phone.registration_id),
            (6, bundle["signed_pre_key"]["id"]),
        ]
        return session

    def encrypt(self, plaintext):
        if self.sending is None:
            self.ratchet, self.sent_before, self.counter = Pair(), max(self.counter, 1) - 1, 0
            newest = next(reversed(self.chains))
            self.root, self.sending = self.step(self.root, self.ratchet, newest)
        seed, self.sending = mac(self.sending, b"\x01"), mac(self.sending, b"\x02")
        cipher_key, mac_key, iv = message_keys(seed)
        padder = padding.PKCS7(128).padder()
        padded = padder.update(plaintext) + padder.finalize()
        encryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).encryptor()
        body = b"\x33" + fields_out(
            [
                (1, self.ratchet.public),
                (2, self.counter),
                (3, self.sent_before),
                (4, encryptor.update(padded) + encryptor.finalize()),
            ]
        )
        self.counter += 1
        tag = mac(mac_key, self.own.public + self.peer + body)[:8]
        if self.pending is None:
            return "message", body + tag
        fields = sorted(self.pending + [(4, body + tag)])
        return "prekey", b"\x33" + fields_out(fields)

    def decrypt(self, data):
        body, tag = data[:-8], data[-8:]
        fields = fields_in(body_of(body))
        ratchet, counter = fields[1], fields[2]
        chain, root = self.chains.get(ratchet), None
        if chain is None:
            root, key = self.step(self.root, self.ratchet, ratchet)
            chain = Chain(key)
        found = chain.seed(counter)
        cipher_key, mac_key, iv = message_keys(found if isinstance(found, bytes) else found[0])
        expected = mac(mac_key, self.peer + self.own.public + body)[:8]
        check(hmac.compare_digest(tag, expected), "the MAC is right")
        decryptor = Cipher(algorithms.AES(cipher_key), modes.CBC(iv)).decryptor()
        unpadder = padding.PKCS7(128).unpadder()
        padded = decryptor.update(fields[4]) + decryptor.finalize()
        plaintext = unpadder.update(padded) + unpadder.finalize()
        # Nothing changes before this line.
        chain.settle(counter, found)
        if root is not None:
            self.chains[ratchet], self.root, self.sending = chain, root, None
        self.pending = None
        return plaintext


def message_keys(seed):
    keys = hkdf(seed, None, b"WhisperMessageKeys", 80)
    return keys[:32], keys[32:64], keys[64:]


def b64(text):
    return base64.b64decode(text, validate=True)


def text_of(data):
    return base64.b64encode(data).decode()


# === The phone =======================================================================================


class Phone:
    """One device, its keys, and its only session."""

    def __init__(self, control, wa_id):
        self.control, self.wa_id, self.read_to = control, wa_id, 0
        self.identity, self.signed, self.signed_id = Pair(), Pair(), 7
        self.registration_id = 1 + int.from_bytes(os.urandom(2), "big") % 16_380
        self.one_time = {n: Pair() for n in range(101, 106)}
        self.session, self.base = None, None

    def register(self):
        keys = {
            "wa_id": self.wa_id,
            "device": 0,
            "registration_id": self.registration_id,
            "identity_key": text_of(self.identity.public),
            "signed_pre_key": {
                "id": self.signed_id,
                "public": text_of(self.signed.public),
                "signature": text_of(xeddsa_sign(self.identity, self.signed.public)),
            },
            "one_time_pre_keys": [
                {"id": n, "public": text_of(pair.public)} for n, pair in self.one_time.items()
            ],
        }
        self.control.call("POST", "/devices", keys)

    def envelopes(self, count, deadline):
        """The next so many envelopes, in the order they came."""
        got = []
        while len(got) < count:
            check(time.monotonic() < deadline, f"{count} envelopes come, {len(got)} did")
            path = f"/devices/{self.wa_id}/envelopes?after={self.read_to}&wait_ms=1000"
            for envelope in self.control.call("GET", path)["envelopes"]:
                check(envelope["n"] > self.read_to, "envelopes come in order")
                self.read_to = envelope["n"]
                got.append(envelope)
        check(len(got) == count, f"{count} envelopes come, {len(got)} did")
        return got

    def open(self, envelope):
        data = b64(envelope["ciphertext"])
        if envelope["kind"] == "message":
            return json.loads(self.session.decrypt(data))
        check(envelope["kind"] == "prekey", "an envelope is a prekey or a message")
        fields = fields_in(body_of(data))
        if self.base == fields[2]:
            return json.loads(self.session.decrypt(fields[4]))
        kept = dict(self.one_time)
        session = Session.accepted(self, fields)
        try:
            plaintext = session.decrypt(fields[4])
        except Exception:
            self.one_time = kept
            raise
        self.session, self.base = session, fields[2]
        return json.loads(plaintext)

    def tell(self, envelope, what):
        receipt = {"device": 0, "message_id": envelope["message_id"], "type": what}
        self.control.call("POST", f"/devices/{self.wa_id}/receipts", receipt)

    def write(self, text):
        content = json.dumps({"type": "text", "text": {"body": text}}).encode()
        kind, data = self.session.encrypt(content)
        envelope = {"device": 0, "kind": kind, "ciphertext": text_of(data)}
        path = f"/devices/{self.wa_id}/envelopes"
        return kind, self.control.call("POST", path, envelope)["id"]


# === HTTP ============================================================================================


class Api:
    def __init__(self, url):
        self.url, self.headers = url.rstrip("/"), {}
        self.context = ssl.create_default_context()
        # The certificate of a stack under test is its own.
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        context = self.context if self.url.startswith("https") else None
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path} answers {error.code}: {error.read()[:500]}") from None
        return json.loads(text) if text else {}

    def login(self, user, password, new_password):
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {basic}"}
        body = {"new_password": new_password} if new_password else {}
        token = self.call("POST", "/v1/users/login", body)["users"][0]["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def send(self, to, text):
        message = {"to": to, "type": "text", "text": {"body": text}}
        return self.call("POST", "/v1/messages", message)["messages"][0]["id"]


class Callbacks:
    """What the webhook got: as bodies at a receiver, or as text in a file."""

    def __init__(self, file):
        self.file, self.bodies = file, []
        if file is None:
            callbacks = self

            class Handler(http.server.BaseHTTPRequestHandler):
                def do_POST(self):
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    callbacks.bodies.append(body.decode())
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

                def log_message(self, *_):
                    pass

            self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=self.server.serve_forever, daemon=True).start()
            self.url = f"http://127.0.0.1:{self.server.server_port}/callback"

    def lines(self):
        if self.file is None:
            return list(self.bodies)
        with open(self.file, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def wait_for(self, *parts, deadline):
        while not any(all(part in line for part in parts) for line in self.lines()):
            check(time.monotonic() < deadline, f"a callback with {parts} comes")
            time.sleep(0.05)


# === The scenario ====================================================================================


def refused(phone, envelope):
    try:
        phone.open(envelope)
        return False
    except Exception:
        return True


def run(options):
    control, rest = Api(options.sandbox), Api(options.rest)
    rest.login(options.user, options.password, options.new_password)
    callbacks = Callbacks(options.callback_file)
    if options.callback_file is None:
        before = rest.call("GET", "/v1/settings/application")["settings"]["application"]
        rest.call("PATCH", "/v1/settings/application", {"webhooks": {"url": callbacks.url}})
        try:
            return scenario(options, control, rest, callbacks)
        finally:
            url = before.get("webhooks", {}).get("url", "")
            rest.call("PATCH", "/v1/settings/application", {"webhooks": {"url": url}})
    return scenario(options, control, rest, callbacks)


def scenario(options, control, rest, callbacks):
    deadline = time.monotonic() + options.timeout
    result = {"decrypted": 0, "written": 0, "replays_refused": 0}

    def reads(phone, envelope, text, message_id):
        check(envelope["message_id"] == message_id, "the envelope names the public id")
        content = phone.open(envelope)
        check(content["type"] == "text" and content["text"]["body"] == text, "the text is right")
        check("to" not in content, "the recipient is not repeated inside")
        result["decrypted"] += 1
        check(refused(phone, envelope), "a replay is refused")
        result["replays_refused"] += 1
        for what in ("delivered", "read"):
            phone.tell(envelope, what)
            callbacks.wait_for(message_id, what, deadline=deadline)

    phone = Phone(control, options.wa_id)
    phone.register()

    # A stranger's first message, and three more that are read out of order.
    sent = rest.send(phone.wa_id, "one")
    (first,) = phone.envelopes(1, deadline)
    check(first["kind"] == "prekey", "a stranger's first message sets up a session")
    fields = fields_in(body_of(b64(first["ciphertext"])))
    check(fields.get(1) in phone.one_time, "with a one-time pre-key of ours")
    forged = dict(first)
    data = bytearray(b64(first["ciphertext"]))
    inner = data.rfind(fields[4]) + len(fields[4]) - 1
    data[inner] ^= 1
    forged["ciphertext"] = text_of(bytes(data))
    check(refused(phone, forged), "a forged message is refused")
    reads(phone, first, "one", sent)
    texts = ["two", "three", "four"]
    ids = [rest.send(phone.wa_id, text) for text in texts]
    got = phone.envelopes(3, deadline)
    check([it["message_id"] for it in got] == ids, "they come in the order accepted")
    for place in (2, 0, 1):
        check(got[place]["kind"] == "prekey", "until the phone answers, each sets up again")
        reads(phone, got[place], texts[place], ids[place])

    # The phone answers; both sides turn their ratchets.
    for turn in range(3):
        kind, message_id = phone.write(f"answer {turn}")
        check(kind == "message", "on the session there is")
        result["written"] += 1
        callbacks.wait_for(message_id, f"answer {turn}", deadline=deadline)
        sent = rest.send(phone.wa_id, f"back {turn}")
        (envelope,) = phone.envelopes(1, deadline)
        check(envelope["kind"] == "message", "an answered session needs no set-up")
        reads(phone, envelope, f"back {turn}", sent)

    # Another phone writes first.
    second = Phone(control, options.second_wa_id)
    second.register()
    second.session = Session.initiated(second, control.call("GET", "/business/bundle"))
    for turn in range(2):
        kind, message_id = second.write(f"hello {turn}")
        check(kind == "prekey", "until the business answers, each sets up again")
        result["written"] += 1
        callbacks.wait_for(message_id, f"hello {turn}", deadline=deadline)
    sent = rest.send(second.wa_id, "welcome")
    (envelope,) = second.envelopes(1, deadline)
    check(envelope["kind"] == "message", "the business answers on the phone's session")
    reads(second, envelope, "welcome", sent)
    kind, message_id = second.write("thanks")
    check(kind == "message", "now the session stands")
    result["written"] += 1
    callbacks.wait_for(message_id, "thanks", deadline=deadline)

    stats = control.call("GET", "/stats")
    result["key_reuse"] = stats["key_reuse"]
    result["undecryptable"] = stats["undecryptable"]
    check(stats["key_reuse"] == 0, "no message key was used twice")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rest", default="http://127.0.0.1:9091", help="URL of the webapp")
    parser.add_argument("--sandbox", default="http://127.0.0.1:9080", help="its control API")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default=os.environ.get("HELIOGRAPH_PASSWORD", "secret"))
    parser.add_argument("--new-password", help="change it at login, as the first login must")
    parser.add_argument("--callback-file", help="wait for callbacks in this file")
    parser.add_argument("--wa-id", default="4915112347001", help="the phone")
    parser.add_argument("--second-wa-id", default="4915112347002", help="the one that writes first")
    parser.add_argument("--timeout", type=float, default=60, help="seconds, for all of it")
    options = parser.parse_args()
    try:
        result = {"ok": True, **run(options)}
    except Failed as error:
        result = {"ok": False, "failed": str(error)}
    print(json.dumps(result))
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
