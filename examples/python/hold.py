#!/usr/bin/env python3
"""Takes a lock, permits and a leadership, round after round, and says what it does.

With --unreliable it does to itself what networks do to others: of every call the first
answer is thrown away, some calls are cut off in the middle, and each is asked once more
after its answer, at another node. The answers must be the same each time.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))


def parse():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--endpoints", default="127.0.0.1:7600", help="host:port of all nodes, with commas between")
    p.add_argument("--stubs", help="directory with what stubs.sh made; made anew if it is not given")
    p.add_argument("--name", default="python", help="of what is taken, and of the session")
    p.add_argument("--who", default="hold.py", help="name of this program")
    p.add_argument("--ttl", type=float, default=10, help="of the session, in seconds")
    p.add_argument("--wait", type=float, default=30, help="how long to wait for anything, in seconds")
    p.add_argument("--rounds", type=int, default=1, help="0: until SIGTERM, which ends it after a round")
    p.add_argument("--unreliable", type=int, metavar="SEED", help="lose answers and ask again, by this seed")
    return p.parse_args()


def say(*what):
    print(*what, flush=True)


class Program:
    """What one process does in its session."""

    def __init__(self, session, options):
        self.session, self.options = session, options
        self.chance = None if options.unreliable is None else random.Random(options.unreliable)
        self.calls = self.lost = 0
        self.enough = False

    def ask(self, service, method, request):
        """One call. Unreliably it is many requests, and must come to the same."""
        self.calls += 1
        if self.chance is None:
            return self.session.ask(service, method, request)
        request.lease.CopyFrom(self.session.lease)
        node = self.chance.randrange(len(self.session.channels))
        try:
            # Cut off before, in or after the middle: whatever it says is not heard.
            self.session.once(service, method, request, node, self.chance.uniform(0.0005, 0.05))
        except grpc.RpcError:
            pass
        self.lost += 1
        answer = self.session.ask(service, method, request)
        self.session.at += 1
        again = self.session.ask(service, method, request)
        if again != answer:
            raise AssertionError(f"{method} answered {answer}, and then {again}")
        return answer

    def lock(self, n):
        request_id = f"lock {n}"
        answer = self.ask(LockServiceStub, "Lock", lock_pb2.LockRequest(
            request_id=request_id, names=[self.options.name], note=f"round {n}", wait_limit=self.wait()))
        self.session.check()  # right before what is done under the lock
        say(f"round {n}: locked {self.options.name}, token {answer.token}")
        self.ask(LockServiceStub, "Unlock", lock_pb2.UnlockRequest(request_id=request_id))

    def permits(self, n):
        hold = f"permits {n}"
        self.ask(SemaphoreServiceStub, "Acquire", semaphore_pb2.AcquireRequest(
            request_id=hold, name=self.options.name, count=3, limit=5, wait_limit=self.wait()))
        say(f"round {n}: acquired 3 permits of {self.options.name}")
        self.ask(SemaphoreServiceStub, "Release", semaphore_pb2.ReleaseRequest(
            request_id=f"one of {hold}", hold=hold, count=1))
        say(f"round {n}: released one, and then the others")
        self.ask(SemaphoreServiceStub, "Release", semaphore_pb2.ReleaseRequest(hold=hold))

    def lead(self, n):
        leadership, who = f"leadership {n}", self.options.who
        answer = self.ask(ElectionServiceStub, "Campaign", election_pb2.CampaignRequest(
            request_id=leadership, name=self.options.name, value=f"{who} elected", wait_limit=self.wait()))
        say(f"round {n}: leads {self.options.name}, term {answer.term}")
        self.ask(ElectionServiceStub, "Proclaim", election_pb2.ProclaimRequest(
            request_id=f"value of {leadership}", leadership=leadership, value=f"{who} at work"))
        say(f"round {n}: proclaimed '{who} at work'")
        self.ask(ElectionServiceStub, "Resign", election_pb2.ResignRequest(leadership=leadership))

    def wait(self):
        limit = Duration()
        limit.FromNanoseconds(int(self.options.wait * 1e9))
        return limit

    def run(self):
        n = 0
        while not self.enough:
            n += 1
            self.lock(n)
            self.permits(n)
            self.lead(n)
            self.enough = self.enough or n == self.options.rounds
        say(f"{self.calls} calls were {self.session.sent} requests, {self.lost} answers were thrown away")


def main():
    session = Session(options.endpoints.split(","), options.ttl, options.who, say)
    say(f"session {session.lease.session_id:016x}, renewed every {options.ttl / 3:.1f} s")
    program = Program(session, options)

    def enough(*_):
        program.enough = True

    signal.signal(signal.SIGTERM, enough)
    try:
        program.run()
    except Lost as lost:
        # A real program stops here whatever it does under its holds.
        say(f"lost: {lost}")
        return 1
    except Refused as no:
        say(f"refused: {no.reason}: {no}")
        return 1
    finally:
        session.close()
    return 0


if __name__ == "__main__":
    options = parse()
    with tempfile.TemporaryDirectory() as made:
        if not options.stubs:
            options.stubs = made
            subprocess.run(["sh", os.path.join(HERE, "stubs.sh"), made], check=True)
        sys.path.insert(0, options.stubs)
        from google.protobuf.duration_pb2 import Duration

        from coord.v1 import election_pb2, lock_pb2, semaphore_pb2
        from coord.v1.election_pb2_grpc import ElectionServiceStub
        from coord.v1.lock_pb2_grpc import LockServiceStub
        from coord.v1.semaphore_pb2_grpc import SemaphoreServiceStub
        from session import Lost, Refused, Session

        sys.exit(main())
