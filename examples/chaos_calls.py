#!/usr/bin/env python3
"""Calls ledger.record (ledger.py) all the time at any of several Mains, and judges afterwards what
became of each call. Used by test_federation_chaos.sh; only the standard library.

    chaos_calls.py run CALLS.tsv URL…          until SIGTERM; one line for each call
    chaos_calls.py judge CALLS.tsv LEDGER.txt  one JSON object

No call is idempotent. One that provably did not run (executed: no) is made once more, under the
same uid, at the next Main: if that proof was wrong, the ledger shows it twice.
"""

import collections
import http.client
import itertools
import json
import os
import signal
import sys
import threading
import time
import urllib.parse

THREADS = 8
PAUSE = 0.01
DEADLINE_MS = 5_000
# The relay answers by the deadline; a relay that is frozen answers nothing at all.
ANSWER_MAX = DEADLINE_MS / 1000 + 5
GIVE_UP_AFTER = 5.0

is_over = threading.Event()


class Main:
    """One Main, and the connection of one thread to it."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self.connection = None

    def call(self, uid):
        """What became of one attempt: outcome, executed, code."""
        body = {"jsonrpc": "2.0", "id": uid, "method": "ledger.record", "params": {"uid": uid}}
        headers = {"Content-Type": "application/json", "Relay-Timeout-Ms": str(DEADLINE_MS)}
        try:
            if self.connection is None:
                connection = http.client.HTTPConnection(*self.address, timeout=ANSWER_MAX)
                connection.connect()
                self.connection = connection
        except OSError:
            return "error", "no", "NOT_CONNECTED"
        try:
            self.connection.request("POST", "/rpc", json.dumps(body), headers)
            answer = json.loads(self.connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as failure:
            self.connection.close()
            self.connection = None
            late = isinstance(failure, TimeoutError)
            return "error", "unknown", "NO_ANSWER" if late else "CONNECTION_LOST"
        if answer.get("id") != uid:
            return "wrong", "yes", "OTHER_ID"
        if "result" in answer:
            right = answer["result"] == {"uid": uid}
            return ("ok", "yes", "") if right else ("wrong", "yes", "OTHER_RESULT")
        data = answer["error"].get("data") or {}
        return "error", data.get("executed", "yes"), data.get("code", str(answer["error"]["code"]))


def make_calls(number, urls, out):
    mains = [Main(url) for url in urls]
    turns = itertools.cycle(mains[number % len(mains):] + mains[:number % len(mains)])
    for count in itertools.count():
        if is_over.is_set():
            return
        uid, began, attempts = f"{os.getpid()}-{number}-{count}", time.monotonic(), 0
        while True:
            attempts += 1
            outcome, executed, code = next(turns).call(uid)
            took = time.monotonic() - began
            if outcome != "error" or executed != "no" or took > GIVE_UP_AFTER:
                break
            time.sleep(PAUSE * attempts)
        line = (uid, outcome, executed, code, attempts, f"{took * 1000:.3f}")
        out.write("\t".join(map(str, line)) + "\n")
        time.sleep(PAUSE)


def run(path, urls):
    signal.signal(signal.SIGTERM, lambda *_: is_over.set())
    with open(path, "a", buffering=1) as out:
        started = [(number, urls, out) for number in range(THREADS)]
        threads = [threading.Thread(target=make_calls, args=arguments) for arguments in started]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def judge(calls_path, ledger_path):
    with open(ledger_path) as ledger:
        ran = collections.Counter(line.rstrip("\n") for line in ledger)
    outcomes, executed, codes = (collections.Counter() for _ in range(3))
    times, lied, missing, retried = [], [], [], 0
    with open(calls_path) as calls:
        for line in calls:
            uid, outcome, was_executed, code, attempts, took = line.rstrip("\n").split("\t")
            outcomes[outcome] += 1
            retried += int(attempts) > 1
            if outcome == "ok":
                times.append(float(took))
                missing += [uid] * (ran[uid] == 0)
            else:
                executed[was_executed] += 1
                codes[f"{code}/{was_executed}"] += 1
                lied += [uid] * (was_executed == "no" and ran[uid] > 0)
    total = sum(outcomes.values())
    times.sort()
    at = lambda share: times[min(len(times) - 1, int(len(times) * share))] if times else None
    print(json.dumps({
        "calls": total,
        "ok": outcomes["ok"],
        "wrong": outcomes["wrong"],
        "errors": outcomes["error"],
        "availability": outcomes["ok"] / total if total else 0.0,
        "moved_on": retried,
        "errors_by_executed": {word: executed[word] for word in ("no", "unknown", "yes")},
        "errors_by_code": dict(codes.most_common()),
        "ran_twice": sorted(uid for uid, times_run in ran.items() if times_run > 1)[:10],
        "ran_although_told_no": lied[:10],
        "answered_but_never_ran": missing[:10],
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
    }))


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3:])
    else:
        judge(sys.argv[2], sys.argv[3])
