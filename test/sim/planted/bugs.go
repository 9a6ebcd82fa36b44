package main

import "slices"

// bugs are those of SEMANTICS K that can be planted as yet, and some more of their kind.
func bugs() []bug {
	return slices.Concat(clientBugs(), sessionBugs(), grantBugs(), electionBugs(), requestBugs(), changeBugs())
}

// clientBugs are in package lessee.
func clientBugs() []bug {
	const dir = "internal/lessee/"
	return []bug{
		{"resend-credited", "an acknowledgement is credited to the last resend", []edit{{
			dir + "lease.go", "l.credit(lease.Start)", "l.credit(l.session.tried)",
		}}},
		{"answer-credited", "an acknowledgement is credited to the time of the answer", []edit{{
			dir + "lease.go", "l.credit(lease.Start)", "l.credit(now)",
		}}},
		{"unanswered-credited", "a renewal is credited to a call that was not answered", []edit{{
			dir + "lease.go", "	s.tried = now\n", "	s.tried = now\n	l.credit(now)\n",
		}}},
		{"past-deadline", "the client keeps a session past its own deadline", []edit{{
			dir + "lease.go", "start+l.cfg.TTL-l.margin-l.cfg.EndEarly", "start+l.cfg.TTL+l.margin",
		}}},
		{"attach-credited", "the client takes an Attach for a renewal", []edit{{
			dir + "stream.go", "	l.stream.nextSeq = last + 1\n",
			"	l.stream.nextSeq = last + 1\n	l.credit(l.stream.started)\n",
		}}},
		{"rest-too-short", "a lost session is replaced while its work still has time to end", []edit{{
			dir + "lessee.go", "now + l.cfg.EndEarly + min(", "now + min(",
		}}},
		{"wait-forgotten", "a parked call is forgotten when its session is replaced", []edit{{
			dir + "lessee.go", "	case c.phase == sent, c.in == &l.redo:\n		l.askAnew(c)\n",
			"	case c.phase == sent:\n		l.unlink(c)\n	case c.in == &l.redo:\n		l.askAnew(c)\n",
		}}},
		{"cancel-leaks", "a cancel that meets a grant leaks the hold", []edit{{
			dir + "receive.go", "		if !c.ending {\n			l.granted(c, a.Body)\n		}\n",
			"		if !c.ending {\n			l.granted(c, a.Body)\n		} else if c.in != nil {\n" +
				"			l.finish(c, Outcome{Verdict: Ended})\n		}\n",
		}}},
		{"never-is-done", "a change that the old session never did is taken for done", []edit{{
			dir + "stream.go", "	default:\n		l.askAnew(c)\n	}\n", "	default:\n		l.finish(c, Outcome{Verdict: Done})\n	}\n",
		}}},
		{"resend-skips", "what follows the last seq of the machine is not sent again", []edit{{
			dir + "stream.go", "	l.stream.nextSeq = last + 1\n", "	l.stream.nextSeq = max(last, l.session.lastSeq) + 1\n",
		}}},
	}
}

// sessionBugs are in what the machine knows of sessions and their calls.
func sessionBugs() []bug {
	const dir = "internal/machine/"
	return []bug{
		{"early-stamp", "a renewal is stamped before its entry's own increment", []edit{{
			dir + "machine.go", "m.book.Stamp(s, m.clock)", "m.book.Stamp(s, before)",
		}}},
		{"gap", "a gap in the seqs is accepted", []edit{{
			dir + "frame.go", "case op.Seq > st.Last+1:", "case op.Seq > st.Last+1 && !live:",
		}}},
		{"old-epoch", "a late frame of an old epoch is accepted", []edit{{
			dir + "frame.go", "case st.Epoch != f.Epoch ||", "case st.Epoch < f.Epoch ||",
		}}},
		{"twice", "a retry of the last call is executed again", []edit{{
			dir + "frame.go", "case op.Seq <= st.Last:", "case op.Seq < st.Last:",
		}}},
		{"dead-waiter", "a dead waiter is granted", []edit{{
			dir + "due.go", "	for _, id := range unlisted(m.lot.Of(s), nil) {\n		m.abandon(id)\n	}\n", "",
		}}},
		{"delay-after-unlock", "a lock-delay follows a clean release", []edit{{
			dir + "frame.go", "	if !m.abandon(target) {\n		m.release(target, EndReleased)\n	}\n",
			"	if !m.abandon(target) {\n" +
				"		if h, ok := m.book.Hold(target); ok && h.Terms.Get().Delay > 0 && h.Free == 0 {\n" +
				"			m.delay(target, h, EndExpired)\n		} else {\n			m.release(target, EndReleased)\n		}\n	}\n",
		}}},
		{"no-delay", "a lock-delay is forgotten when its session is replaced", []edit{{
			dir + "due.go", "(how == EndExpired || how == EndReplaced)", "how == EndExpired",
		}}},
		{"revoked-renewed", "a revoked session is renewed", []edit{{
			dir + "machine.go", "		case st.Revoked:\n", "		case st.Revoked && !live:\n",
		}}},
		{"dedupe-not-saved", "dedupe is forgotten by a snapshot", []edit{
			{"internal/session/record.go", ", b.kept.Save(emit))", ")"},
			{
				"internal/session/record.go",
				"	if err := b.kept.Restore(take, func(d *wire.Decoder) (park.ID, Kept) { return park.DecodeID(d), decodeKept(d) }); err != nil {\n		return err\n	}\n",
				"",
			},
			{"internal/session/book.go", " + 7*b.kept.Sum()", ""},
		}},
	}
}

// grantBugs are in who is granted what.
func grantBugs() []bug {
	return []bug{
		{"token", "a token is not raised", []edit{{
			"internal/machine/wait.go", "	m.token++\n", "	if m.steps%16 != 0 {\n		m.token++\n	}\n",
		}}},
		{"lifo", "the last to come is granted first", []edit{{
			"internal/park/lot.go", "cmp.Compare(a.ticket, b.ticket)", "cmp.Compare(b.ticket, a.ticket)",
		}}},
		{"writer-starves", "a writer is overtaken by readers", []edit{{
			"internal/machine/wait.go", "return !m.lot.Ahead(a.On, a.Side, w.Prio, w.Ticket, peer)",
			"return a.Shared || !m.lot.Ahead(a.On, a.Side, w.Prio, w.Ticket, peer)",
		}}},
		{"arm-left", "a committed Select leaves an arm queued", []edit{{
			"internal/park/lot.go", "		l.places.Delete(w.place(i))\n",
			"		if i < 2 {\n			l.places.Delete(w.place(i))\n		}\n",
		}}},
		{"shared-exclusive", "a reader is let in beside a writer", []edit{{
			"lock/lock.go", "!(a.Shared && share.Shared)", "!(a.Shared && share.N > 0)",
		}}},
		{"over-limit", "a permit too many is given", []edit{{
			"lock/lock.go", "s.Held+a.N > s.Limit {\n			return park.No", "s.Held+a.N > s.Limit+1 {\n			return park.No",
		}}},
	}
}

// electionBugs are in who leads.
func electionBugs() []bug {
	const file = "internal/machine/leader.go"
	return []bug{
		{"transfer-frees", "a transfer to somebody who does not wait frees the leadership", []edit{{
			file, "		m.answer(id, park.NotFound, 0)\n		return\n	}\n	m.release(",
			"		m.answer(id, park.NotFound, 0)\n		m.release(park.ID{Session: id.Session, Seq: to}, EndReleased)\n		return\n	}\n	m.release(",
		}}},
		{"transfer-seated", "a transfer leaves the old leader seated", []edit{
			{file, "	m.release(park.ID{Session: id.Session, Seq: to}, EndTransferred)\n", ""},
			{"election/election.go", "; had {\n", "; had && a.On.Name == \"\" {\n"},
		}},
		{"transfer-term", "a transfer does not raise the term", []edit{{
			file, "	m.leave(next)\n", "	m.leave(next)\n	m.token--\n",
		}}},
		{"transfer-passes-nobody", "a transfer goes to the head of the queue, whoever it is", []edit{{
			file, "for waits, x := range m.lot.Of(of) {", "for waits, x := range m.lot.Queue(on) {",
		}}},
		{"proclaimed-lost", "the value of a proclamation is lost", []edit{{
			file, "	m.book.Change(target, h)\n", "",
		}}},
		{"priority", "the priority of a candidate is ignored", []edit{{
			"internal/park/lot.go", "c := cmp.Compare(b.prio, a.prio); c != 0 {",
			"c := cmp.Compare(b.prio, a.prio); c != 0 && a.on.Kind != KindElection {",
		}}},
		{"reader-leads", "a candidate is let in beside a leader", []edit{
			{"election/election.go", "; led {\n		return park.No", "; led && len(a.Value)%3 != 0 {\n		return park.No"},
			{"election/election.go", "; had {\n", "; had && a.On.Name == \"\" {\n"},
		}},
	}
}

// requestBugs are in what is known of the calls of sessions without a stream.
func requestBugs() []bug {
	const call, request = "internal/machine/call.go", "internal/session/request.go"
	return []bug{
		{"request-again", "a retry of a change that is done is executed again", []edit{
			{call, "	if known {\n		m.againRequest", "	if known && (was.Ended == 0 || was.Code != park.Done) {\n		m.againRequest"},
			{request, "; had {\n		panic(\"session: the request has a call already\")", "; had && name == \"\" {\n		panic(\"session: the request has a call already\")"},
		}},
		{"request-forgotten", "a result is forgotten too early", []edit{
			{request, "n-min(n, KeptRequests)", "n-min(n, 4)"},
		}},
		{"end-forgotten", "an end that overtakes its call is forgotten", []edit{{
			call, "		m.book.Conclude(m.ask(c), session.Kept{Code: park.Over})\n", "",
		}}},
		{"requests-not-saved", "requests are forgotten by a snapshot", []edit{
			{"internal/machine/snapshot.go", ", m.book.SaveRequests(emit),\n", ",\n"},
			{
				"internal/machine/snapshot.go",
				"	if err := m.book.RestoreRequests(take); err != nil {\n		return fmt.Errorf(\"requests: %w\", err)\n	}\n", "",
			},
			{"internal/session/book.go", " +\n		23*b.requests.asked.Sum()", ""},
		}},
		{"over-called", "a call of a session that has ended is executed", []edit{{
			call, "	case !live:\n", "	case !live && st.Epoch != 0:\n",
		}}},
		{"over-granted", "a wait of a session without a stream outlives it", []edit{{
			"internal/machine/due.go", "	for _, id := range unlisted(m.lot.Of(s), nil) {\n		m.abandon(id)\n	}\n",
			"	for _, id := range unlisted(m.lot.Of(s), nil) {\n		if !m.book.Unary(s) {\n			m.abandon(id)\n		}\n	}\n",
		}}},
		{"timeout-not-kept", "that a wait limit passed is not remembered", []edit{{
			"internal/machine/machine.go", "	if k.Code != park.Recalled {\n		m.conclude",
			"	if k.Code != park.Recalled && k.Code != park.TimedOut {\n		m.conclude",
		}}},
		{"another-session", "an end ends the call of another session", []edit{{
			call, "	id := park.ID{Session: c.Session, Seq: was.Seq}\n	if m.abandon(id) {",
			"	id := park.ID{Session: c.Session - 1, Seq: was.Seq}\n	if m.abandon(id) {",
		}}},
	}
}

// changeBugs are in the changes and their numbers.
func changeBugs() []bug {
	const change, snapshot = "internal/machine/change.go", "internal/machine/snapshot.go"
	return []bug{
		{"change-skipped", "a number is skipped", []edit{{
			change, "	m.revision++\n", "	m.revision++\n	if t == ChangeProclaimed {\n		m.revision++\n	}\n",
		}}},
		{"revision-not-saved", "the number of the last change is forgotten by a snapshot", []edit{
			{snapshot, "	m.revision = d.Uint(maxUint)\n", "	d.Uint(maxUint)\n"},
			{snapshot, " +\n		29*m.revision", ""},
		}},
		{"change-missing", "a lock-delay that is over is no change", []edit{{
			"internal/machine/wait.go", "		m.ended(id, a, &h, why)\n",
			"		if why == EndDelayOver {\n			m.touchAll(a.On)\n			continue\n		}\n		m.ended(id, a, &h, why)\n",
		}}},
	}
}
