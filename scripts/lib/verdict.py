"""What must hold after anything that may fail: what was accepted is at its phone once, in order, with all
its callbacks; what is at a phone was accepted or answered "outcome unknown"; no message key was used twice.
"""
import collections
import time

import gateway as gw

WANTED = ("sent", "delivered", "read")
QUIET_S = 8.0    # nothing moved for so long: what is missing is lost
SETTLE_S = 180.0


def settle(receiver, accepted):
    """Waits for every callback of the accepted messages, as long as something still moves."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        if receiver.unique() >= len(WANTED) * len(accepted):
            time.sleep(1.0)
            return
        if receiver.quiet_s() > QUIET_S:
            return
        time.sleep(0.2)


def judge(gateway, load, callbacks):
    """(fields of the result, sentences about broken promises)."""
    at_phone, decrypted, order = {}, {}, collections.defaultdict(list)
    for message in gateway.phone_messages():
        key = message["key"]
        at_phone.setdefault(key, []).extend([message["to"]] * message["copies"])
        decrypted[key] = decrypted.get(key, 0) + message["decrypted"]
        order[message["to"]].append(key)
    stats = gateway.sandbox("/stats")
    accepted = {gw.key_of(i): one for i, one in load.accepted.items()}
    unknown = {gw.key_of(i) for i in load.unknown}
    lost = [i for i in accepted if i not in at_phone]
    twice = [i for i, seen in at_phone.items() if len(seen) > 1]
    astray = [i for i, one in accepted.items() if set(at_phone.get(i, [one.to])) != {one.to}]
    not_once = [i for i, times in decrypted.items() if times != 1]
    undecryptable = sum(stats["undecryptable"].values())
    unexplained = [i for i in at_phone if i not in accepted and i not in unknown]
    missing = [(i, s) for i in load.accepted for s in WANTED if (i, s) not in callbacks]
    disordered = reordered(order, accepted)
    result = {
        "accepted": len(load.accepted),
        "strangers": len({one.to for one in accepted.values()}) if load.strangers else 0,
        "delivered": len(at_phone),
        "lost": len(lost),
        "duplicated": len(twice),
        "reordered": len(disordered),
        "key_reuse": stats["key_reuse"] + stats["different_bytes"],
        "undecryptable": undecryptable,
        "stale_writes": stats["stale_sends"],
        "client_errors": len(load.refused),
        "callbacks_lost": len(missing),
        "callbacks_duplicated": sum(n - 1 for n in callbacks.values()),
        "outcome_unknown": len(load.unknown),
        "outcome_unknown_delivered": sum(i in at_phone for i in unknown),
        "client_errors_by_kind": load.errors(),
    }
    broken = []
    if lost:
        broken.append(f"{len(lost)} accepted messages never reached their phone, e.g. {lost[0]}")
    if twice:
        broken.append(f"{len(twice)} messages reached a phone twice, e.g. {twice[0]}")
    if not_once:
        broken.append(f"{len(not_once)} messages were not decrypted exactly once at their phone, "
                      f"e.g. {not_once[0]}")
    if disordered:
        broken.append(f"{len(disordered)} messages overtook one to the same phone that had been "
                      f"accepted before they were sent, e.g. {disordered[0]}")
    if undecryptable:
        broken.append(f"envelopes came that no phone could decrypt: {stats['undecryptable']}")
    if astray:
        broken.append(f"{len(astray)} messages reached another phone, e.g. {astray[0]}")
    if unexplained:
        broken.append(f"{len(unexplained)} messages reached a phone although their calls had a "
                      f"definite refusal, e.g. {unexplained[0]}")
    if missing:
        broken.append(f"{len(missing)} callbacks never came, e.g. {missing[0][1]} "
                      f"of {missing[0][0]}")
    if stats["key_reuse"]:
        broken.append(f"{stats['key_reuse']} message keys were used for two texts")
    if stats["different_bytes"]:
        broken.append(f"{stats['different_bytes']} messages were sent again with other bytes")
    if stats["stale_sends"]:
        broken.append(f"{stats['stale_sends']} messages were sent by a coreapp that had lost their shard; "
                      "the network refused them")
    if not load.accepted:
        broken.append("nothing was accepted")
    return result, broken


def reordered(order, accepted):
    """Messages that came to their phone after one that was sent only when they had been accepted."""
    late = []
    for keys in order.values():
        latest = float("-inf")  # begin of a call whose message is at the phone already
        for one, key in ((accepted[key], key) for key in keys if key in accepted):
            if one.ended < latest:
                late.append(key)
            latest = max(latest, one.began)
    return late
