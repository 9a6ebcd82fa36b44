"""A session of coordd: opened, renewed by a thread, and asked again until it answers.

This is all that a client needs who has no library. docs/api.md gives the reasons.
"""

import threading
import time

import grpc

import errors_pb2
from coord.v1 import session_pb2, session_pb2_grpc

# What ended without an answer: the same request, under the same id, is asked again.
UNANSWERED = {"NO_LEADER", "STOPPING", "OVERLOADED"}
DISCONNECTED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}

# A node that vanished must not keep a call: how long one try may take. A call that waits in
# line keeps its place when it is asked again.
TRY = 5.0
PAUSE = 0.1


class Lost(Exception):
    """The session is over, and with it all that it held."""


class Refused(Exception):
    """The cluster's answer is no: reason is one of docs/api.md's table."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


def reason_of(error):
    """The reason of a status, "" if it has none: then nobody knows what became of the call."""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in errors_pb2.Status.FromString(value).details:
            info = errors_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == "coordd.dev":
                return info.reason
    return ""


class Clock:
    """Time that has passed by the wall or the monotonic clock, whichever says more."""

    def __init__(self):
        self.wall, self.monotonic = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)

    def elapsed(self):
        return max(time.time() - self.wall, time.clock_gettime(time.CLOCK_BOOTTIME) - self.monotonic)


class Session:
    """A lease, and the way to the cluster. close() ends both."""

    def __init__(self, endpoints, ttl, name, say=print):
        options = [("grpc.max_reconnect_backoff_ms", 1000), ("grpc.initial_reconnect_backoff_ms", 100)]
        self.channels = [grpc.insecure_channel(e, options=options) for e in endpoints]
        self.at = 0  # the channel that answered last
        self.ttl, self.say = ttl, say
        self.margin = max(ttl / 10, 0.05)
        self.sent = 0
        self.lost = None  # why, once it is
        self.closing = threading.Event()
        request = session_pb2.OpenSessionRequest(who=session_pb2.Who(name=name))
        request.ttl.FromNanoseconds(int(ttl * 1e9))
        # Opening is not deduplicated: if an answer is lost, so is that session, and expires.
        self.renewed = Clock()
        opened = self._until_answered(session_pb2_grpc.SessionServiceStub, "OpenSession", request, again=self._restart)
        self.lease = opened.lease
        self.renewer = threading.Thread(target=self._renew, daemon=True)
        self.renewer.start()

    def _restart(self):
        self.renewed = Clock()  # of a session that may yet be opened

    def check(self):
        """Raises Lost from the deadline on. Call it right before what must not be done twice."""
        if self.lost is None and self.renewed.elapsed() >= self.ttl - self.margin:
            self.lost = "its deadline has passed without a renewal"
        if self.lost:
            raise Lost(self.lost)

    def ask(self, service, method, request):
        """Asks node after node, always the same, until one answers."""
        request.lease.CopyFrom(self.lease)
        return self._until_answered(service, method, request)

    def _until_answered(self, service, method, request, again=None):
        while True:
            if again is None:
                self.check()
            try:
                return self.once(service, method, request, self.at, TRY)
            except grpc.RpcError as error:
                reason = reason_of(error)
                if reason == "SESSION_OVER":
                    self.lost = error.details()
                    raise Lost(self.lost) from error
                unanswered = reason in UNANSWERED or not reason and error.code() in DISCONNECTED
                # An OpenSession that may have been done is done anew.
                if not unanswered and not (again and reason == "UNKNOWN_OUTCOME"):
                    raise Refused(reason, error.details()) from error
            self.at = (self.at + 1) % len(self.channels)
            if again:
                again()
            time.sleep(PAUSE)

    def once(self, service, method, request, at, timeout):
        """Asks one node, once."""
        self.sent += 1
        return getattr(service(self.channels[at % len(self.channels)]), method)(request, timeout=timeout)

    def _renew(self):
        """The thread that keeps the lease, and nothing else."""
        wait = 0
        while not self.closing.wait(wait):
            wait = PAUSE
            began = Clock()  # the deadline counts from here, never from the answer
            request = session_pb2.RenewRequest(leases=[self.lease])
            for at in range(len(self.channels)):
                try:
                    answer = self.once(session_pb2_grpc.SessionServiceStub, "Renew", request, self.at + at, max(self.ttl / 10, 1))
                except grpc.RpcError:
                    continue
                if answer.renewals[0] == session_pb2.RENEWAL_RENEWED:
                    self.renewed, wait = began, self.ttl / 3
                elif answer.renewals[0] == session_pb2.RENEWAL_OVER:
                    self.lost = "the cluster says that it is over"
                    return
                else:
                    self.say("an operator wants the session back: it will not be renewed")
                    return
                break

    def close(self):
        """Releases all that is held, and stops renewing."""
        self.closing.set()
        self.renewer.join()
        try:
            if not self.lost:
                self.ask(session_pb2_grpc.SessionServiceStub, "CloseSession", session_pb2.CloseSessionRequest())
        except Lost:
            pass  # then it has ended by itself
        finally:
            for channel in self.channels:
                channel.close()
