#!/usr/bin/env python3
"""Golden transcripts for the session crate, from an implementation that shares nothing with it.

X25519, AES, HMAC and HKDF come from the PyPI package `cryptography`; X3DH, the ratchet, the wire
format and XEdDSA are written out below from their public descriptions. All keys are fixed, so the
output is the same at every run:

    python3 make.py > transcripts.json

A transcript is a list of steps. `send` says what a side must produce, byte for byte; `deliver`
what the other must read from it. `sides` names the sides the Rust test plays; the bytes of a side
it does not play are only delivered.
"""

import copy
import hashlib
import json

from cryptography.hazmat.primitives import hashes, hmac, padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# --- primitives ---


def public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def agree(secret, peer):
    key = X25519PrivateKey.from_private_bytes(secret)
    return key.exchange(X25519PublicKey.from_public_bytes(peer))


def hkdf(secret, salt, info, length):
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


def hmac_sha256(key, data):
    context = hmac.HMAC(key, hashes.SHA256())
    context.update(data)
    return context.finalize()


def cbc(key, iv, data, encrypting):
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    if encrypting:
        padder = padding.PKCS7(128).padder()
        data = padder.update(data) + padder.finalize()
        context = cipher.encryptor()
        return context.update(data) + context.finalize()
    context = cipher.decryptor()
    data = context.update(data) + context.finalize()
    remover = padding.PKCS7(128).unpadder()
    return remover.update(data) + remover.finalize()


# --- XEdDSA, on the twisted Edwards curve in affine coordinates: slow and plain ---

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P


def x_of(y, odd):
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert (x * x - square) % P == 0
    return P - x if x & 1 != odd else x


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    cross = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, P)
    return x % P, y % P


def times(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


BASE = (x_of(BASE_Y, 0), BASE_Y)


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def scalar_hash(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def clamped(secret):
    scalar = bytearray(secret)
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    return int.from_bytes(scalar, "little")


def sign(secret, message, random):
    """The specification's way: a key whose point has sign 0."""
    scalar = clamped(secret) % ORDER
    point = times(scalar, BASE)
    if point[0] & 1:
        scalar = ORDER - scalar
        point = (P - point[0], point[1])
    return signature(scalar, point, message, random)


def sign_with_sign_in_s(secret, message, random):
    """The older way: the key's own point, its sign in the top bit of s."""
    scalar = clamped(secret) % ORDER
    point = times(scalar, BASE)
    made = bytearray(signature(scalar, point, message, random))
    made[63] |= (point[0] & 1) << 7
    return bytes(made)


def signature(scalar, point, message, random):
    prefix = b"\xfe" + b"\xff" * 31
    nonce = scalar_hash(prefix, scalar.to_bytes(32, "little"), message, random)
    commitment = encode(times(nonce, BASE))
    challenge = scalar_hash(commitment, encode(point), message)
    response = (nonce + challenge * scalar) % ORDER
    return commitment + response.to_bytes(32, "little")


# --- wire format ---


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(tag, value):
    return varint(tag << 3) + varint(value)


def blob(tag, value):
    return varint(tag << 3 | 2) + varint(len(value)) + value


def fields(data):
    found, at = {}, 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = take()
        if key & 7 == 0:
            found[key >> 3] = take()
        else:
            assert key & 7 == 2
            length = take()
            found[key >> 3] = data[at : at + length]
            at += length
    return found


def wire(key):
    return b"\x05" + key


# --- one session ---


class Session:
    def __init__(self, own, peer, root, version):
        self.own, self.peer, self.root, self.version = own, peer, root, version
        self.sent = self.previous = 0
        self.receiving = {}  # ratchet key -> [chain key, counter, {counter: seed}]
        self.pending = None

    @staticmethod
    def first_keys(agreements):
        made = hkdf(b"\xff" * 32 + b"".join(agreements), b"\0" * 32, b"WhisperText", 64)
        return made[:32], made[32:]

    def root_step(self, shared):
        made = hkdf(shared, self.root, b"WhisperRatchet", 64)
        self.root = made[:32]
        return made[32:]

    @staticmethod
    def chain_step(chain):
        return hmac_sha256(chain, b"\x01"), hmac_sha256(chain, b"\x02")

    @staticmethod
    def message_keys(seed):
        made = hkdf(seed, b"\0" * 32, b"WhisperMessageKeys", 80)
        return made[:32], made[32:64], made[64:]

    def encrypt(self, plaintext):
        seed, self.chain = self.chain_step(self.chain)
        key, mac_key, iv = self.message_keys(seed)
        body = bytes([self.version])
        body += blob(1, wire(public(self.ratchet))) + number(2, self.sent)
        body += number(3, self.previous) + blob(4, cbc(key, iv, plaintext, True))
        message = body + hmac_sha256(mac_key, wire(self.own) + wire(self.peer) + body)[:8]
        self.sent += 1
        if not self.pending:
            return "message", message
        out = bytes([self.version])
        if self.pending["one_time"] is not None:
            out += number(1, self.pending["one_time"])
        out += blob(2, wire(self.pending["base"])) + blob(3, wire(self.own)) + blob(4, message)
        out += number(5, self.pending["registration_id"]) + number(6, self.pending["signed"])
        return "prekey", out

    def decrypt(self, message, draw):
        body, mac = message[:-8], message[-8:]
        assert body[0] >> 4 == 3
        read = fields(body[1:])
        their, counter = read[1][1:], read[2]
        new = their not in self.receiving
        if new:
            self.receiving[their] = [self.root_step(agree(self.ratchet, their)), 0, {}]
        chain = self.receiving[their]
        while chain[1] <= counter:
            seed, chain[0] = self.chain_step(chain[0])
            chain[2][chain[1]] = seed
            chain[1] += 1
        key, mac_key, iv = self.message_keys(chain[2].pop(counter))
        assert hmac_sha256(mac_key, wire(self.peer) + wire(self.own) + body)[:8] == mac
        if new:
            self.ratchet = draw()
            self.chain = self.root_step(agree(self.ratchet, their))
            self.previous, self.sent = max(self.sent, 1) - 1, 0
        self.pending = None
        return cbc(key, iv, read[4], False)


# --- one device, with all its sessions ---


class Device:
    def __init__(self, name, registration_id, signed_id, one_time_id, version=0x33):
        self.name, self.version, self.registration_id = name, version, registration_id
        self.identity = self.secret("identity")
        self.signed_id, self.signed = signed_id, self.secret("signed")
        self.one_time_id = one_time_id
        self.one_time = None if one_time_id is None else self.secret("one-time")
        self.nonce = self.secret("nonce a") + self.secret("nonce b")
        self.signature = sign(self.identity, wire(public(self.signed)), self.nonce)
        self.sessions, self.draws = {}, []  # base key -> session, the last used one at the end

    def secret(self, what):
        return hashlib.sha256(f"golden {self.name} {what}".encode()).digest()

    def draw(self):
        self.draws.append(self.secret(f"draw {len(self.draws)}"))
        return self.draws[-1]

    def initiate(self, peer):
        base = self.draw()
        agreements = [
            agree(self.identity, public(peer.signed)),
            agree(base, public(peer.identity)),
            agree(base, public(peer.signed)),
        ]
        if peer.one_time is not None:
            agreements.append(agree(base, public(peer.one_time)))
        root, _ = Session.first_keys(agreements)
        session = Session(public(self.identity), public(peer.identity), root, self.version)
        session.ratchet = self.draw()
        session.chain = session.root_step(agree(session.ratchet, public(peer.signed)))
        session.pending = {
            "base": public(base),
            "one_time": peer.one_time_id,
            "signed": peer.signed_id,
            "registration_id": self.registration_id,
        }
        self.sessions[public(base)] = session

    def accept(self, read):
        base, identity = read[2][1:], read[3][1:]
        agreements = [
            agree(self.signed, identity),
            agree(self.identity, base),
            agree(self.signed, base),
        ]
        if 1 in read:
            assert read[1] == self.one_time_id
            agreements.append(agree(self.one_time, base))
        root, chain = Session.first_keys(agreements)
        session = Session(public(self.identity), identity, root, self.version)
        session.ratchet, session.chain = self.signed, chain
        self.sessions[base] = session

    def encrypt(self, plaintext):
        return list(self.sessions.values())[-1].encrypt(plaintext)

    def decrypt(self, kind, data):
        if kind == "prekey":
            assert data[0] >> 4 == 3
            read = fields(data[1:])
            if read[2][1:] not in self.sessions:
                self.accept(read)
            names, message = [read[2][1:]], read[4]
        else:
            names, message = reversed(self.sessions), data
        for name in names:
            session = copy.deepcopy(self.sessions[name])
            try:
                plaintext = session.decrypt(message, self.draw)
                break
            except AssertionError:
                continue
        self.sessions[name] = session
        self.sessions[name] = self.sessions.pop(name)
        return plaintext

    def describe(self):
        one_time = None
        if self.one_time is not None:
            one_time = {"id": self.one_time_id, "secret": self.one_time.hex()}
        return {
            "registration_id": self.registration_id,
            "identity_secret": self.identity.hex(),
            "identity_key": wire(public(self.identity)).hex(),
            "signed": {
                "id": self.signed_id,
                "secret": self.signed.hex(),
                "key": wire(public(self.signed)).hex(),
                "nonce": self.nonce.hex(),
                "signature": self.signature.hex(),
            },
            "one_time": one_time,
            "draws": [draw.hex() for draw in self.draws],
        }


# --- transcripts ---


class Transcript:
    def __init__(self, name, alice, bob, sides=("alice", "bob")):
        self.name, self.sides, self.steps, self.sent = name, sides, [], []
        self.devices = {"alice": alice, "bob": bob}

    def other(self, side):
        return "bob" if side == "alice" else "alice"

    def initiate(self, side):
        self.devices[side].initiate(self.devices[self.other(side)])
        self.steps.append({"op": "initiate", "side": side})

    def send(self, side, plaintext):
        kind, data = self.devices[side].encrypt(plaintext)
        self.sent.append((side, kind, data, plaintext))
        n = len(self.sent) - 1
        step = {"op": "send", "side": side, "n": n, "plaintext": plaintext.hex()}
        self.steps.append(step | {"kind": kind, "bytes": data.hex()})
        return n

    def deliver(self, *numbers):
        for n in numbers:
            sender, kind, data, plaintext = self.sent[n]
            assert self.devices[self.other(sender)].decrypt(kind, data) == plaintext
            self.steps.append({"op": "deliver", "side": self.other(sender), "n": n})

    def describe(self):
        return {
            "name": self.name,
            "sides": list(self.sides),
            "alice": self.devices["alice"].describe(),
            "bob": self.devices["bob"].describe(),
            "steps": self.steps,
        }


def text(n, length):
    return (f"message {n} ".encode() * (length // 8 + 1))[:length]


def conversation(name, alice, bob, sides=("alice", "bob")):
    """Reordering, losses, late messages of old chains, every padding length that matters."""
    t = Transcript(name, alice, bob, sides)
    t.initiate("alice")
    first = [t.send("alice", text(n, length)) for n, length in enumerate([0, 1, 15, 16, 17])]
    t.deliver(first[1], first[0], first[3])
    answers = [t.send("bob", text(n, 200)) for n in range(3)]
    t.deliver(answers[2])
    second = [t.send("alice", text(n, 31)) for n in range(4)]
    t.deliver(second[3], first[4], answers[0])
    third = [t.send("bob", text(n, 1000)) for n in range(2)]
    t.deliver(*third)
    t.deliver(second[0], first[2])
    for turn in range(3):
        t.deliver(t.send("alice", text(turn, 48)))
        t.deliver(t.send("bob", text(turn, 47)))
    t.deliver(second[2])
    far = [t.send("alice", text(n, 9)) for n in range(40)]
    t.deliver(far[39], far[0], far[20])
    return t


def both_initiate(alice, bob):
    """Set-ups cross on the wire; the session that decrypted last is the one that is used."""
    t = Transcript("both sides initiate at once", alice, bob)
    t.initiate("alice")
    t.initiate("bob")
    from_alice = [t.send("alice", text(n, 20)) for n in range(2)]
    from_bob = [t.send("bob", text(n, 21)) for n in range(2)]
    t.deliver(from_bob[1], from_alice[0])
    crossed = [t.send("alice", text(3, 30)), t.send("bob", text(4, 31))]
    t.deliver(from_bob[0], from_alice[1])
    t.deliver(crossed[1])
    t.deliver(t.send("alice", text(5, 8)))
    t.deliver(crossed[0])
    t.deliver(t.send("bob", text(6, 16)))
    return t


def signatures():
    out = []
    for n in range(12):
        secret = hashlib.sha256(f"golden signer {n}".encode()).digest()
        random = hashlib.sha512(f"golden random {n}".encode()).digest()
        message = text(n, 33 + n)
        out.append(
            {
                "secret": secret.hex(),
                "key": wire(public(secret)).hex(),
                "message": message.hex(),
                "random": random.hex(),
                "signature": sign(secret, message, random).hex(),
                "sign_in_s": sign_with_sign_in_s(secret, message, random).hex(),
            }
        )
    return out


def main():
    transcripts = [
        conversation("with a one-time key", Device("a", 1, 7, 100), Device("b", 16380, 0xFFFFFF, 9)),
        conversation("no one-time key left", Device("c", 300, 1, 2), Device("d", 2, 5, None)),
        conversation(
            "the responder's newest version is 4",
            Device("e", 5, 1, 1),
            Device("f", 6, 2, 3, version=0x34),
            sides=("alice",),
        ),
        conversation(
            "the initiator's newest version is 4",
            Device("g", 7, 1, 1, version=0x34),
            Device("h", 8, 2, 3),
            sides=("bob",),
        ),
        both_initiate(Device("i", 9, 11, 12), Device("j", 10, 13, 14)),
    ]
    described = [transcript.describe() for transcript in transcripts]
    print(json.dumps({"transcripts": described, "signatures": signatures()}, indent=1))


main()
