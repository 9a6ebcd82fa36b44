package lessee

import "time"

// Receive takes answers that came on the stream of epoch, in their order.
func (l *Lessee) Receive(now time.Duration, epoch uint64, answers []Answer) {
	now = l.advance(now)
	for _, a := range answers {
		if epoch != l.stream.epoch || l.stream.state != streamUp {
			return // perhaps since the answer before it
		}
		c := l.session.ops[a.Seq]
		switch {
		case c == nil: // settled before
		case c == l.leave:
			if final(a.Verdict) {
				l.lose(now, ReasonClosed)
			}
		case c.endSeq == a.Seq:
			l.answerEnd(c, a)
		case c.phase == held:
			l.answerHeld(c, a)
		default:
			l.answerSent(c, a)
		}
	}
	l.giveUpIfRevoked(now)
}

func final(v Verdict) bool { return v == Done || v == Over || v == Refused }

// answerEnd takes the answer to c's End. What c got was sent before it.
func (l *Lessee) answerEnd(c *call, a Answer) {
	if final(a.Verdict) {
		l.finish(c, Outcome{Verdict: Ended})
	}
}

// answerHeld takes news of a hold. What the server says again after an Attach is no news.
func (l *Lessee) answerHeld(c *call, a Answer) {
	switch {
	case a.Verdict == Recalled:
		l.recall(c, a.Body)
	case a.Verdict == Lost:
		l.stream.pendAcks.add(a.Seq)
		l.loseHoldAlone(c, ReasonRevoked)
	case final(a.Verdict) && !c.ending: // with an End outstanding it is the echo of that
		c.denied = true
		l.loseDenied(c)
	}
}

// loseHoldAlone loses one hold of a session that lives on. An End of it is then over too.
func (l *Lessee) loseHoldAlone(c *call, reason Reason) {
	ending := c.ending
	l.loseHold(c, reason)
	if ending {
		l.finish(c, Outcome{Verdict: Ended})
	}
}

// answerSent takes the answer to a call.
func (l *Lessee) answerSent(c *call, a Answer) {
	swallow := c.ending && c.class != ClassChange // its End will be answered
	switch a.Verdict {
	case Granted:
		if !c.ending {
			l.granted(c, a.Body)
		}
	case Done:
		if c.class != ClassRead {
			l.stream.pendAcks.add(a.Seq)
		}
		if !swallow {
			l.finish(c, Outcome{Verdict: Done, Body: a.Body})
		}
	case Refused:
		if !swallow {
			l.finish(c, Outcome{Verdict: Refused, Body: a.Body})
		}
	case Over:
		if !c.ending {
			l.askAnew(c)
		}
	case Lost: // granted and revoked, and the user has heard of neither
		l.stream.pendAcks.add(a.Seq)
		if !c.ending {
			l.askAnew(c)
		}
	default: // of a hold that there is not; or what no server says
	}
}

func (l *Lessee) granted(c *call, body any) {
	l.given(c)
	c.phase = held
	c.body, c.again, c.on, c.gives = nil, nil, nil, false // it will not be asked anew
	l.session.held++
	l.out = append(l.out, Outcome{Call: c.id, Verdict: Granted, Body: body})
	if l.session.revoked {
		l.recall(c, nil)
	}
}
