// Package election is the room of elections, pure. It is no client API; see package client
// for that.
//
// A leadership is an exclusive hold with a value: whoever waits for it is a candidate, its
// token is the term, and the value is the candidate's until it proclaims another. The room
// says whether a candidate can lead now (Ready, asked only when nobody stands ahead of it),
// seats and unseats (Commit, Release), and sees no queue, no session and no time. That
// candidates come in the order of priority and ticket follows from the queue, that terms
// rise from the one counter of tokens; the transfer to a waiting candidate is package
// machine's, because it passes the queue (SEMANTICS E3).
//
//  1. An election has at most one leader. Its owner is a call (session, seq).
//  2. An election without a leader is not in the room: vacancy is an event, not a state.
//  3. The value is in the arm of the hold, and nowhere else.
package election
