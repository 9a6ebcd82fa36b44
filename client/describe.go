package client

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	coordv1 "coordd.dev/api/coord/v1"
	"coordd.dev/internal/lessee"
)

// A Kind is a kind of object. Mutex and RWMutex are one kind.
type Kind uint8

// Wire values; never reordered.
const (
	KindLock Kind = iota + 1
	KindSemaphore
	KindElection
	KindWaitGroup
	KindOnce
	KindCond
	KindMap
	KindChan
)

func (k Kind) String() string {
	switch k {
	case KindLock:
		return "lock"
	case KindSemaphore:
		return "semaphore"
	case KindElection:
		return "election"
	case KindWaitGroup:
		return "wait group"
	case KindOnce:
		return "once"
	case KindCond:
		return "cond"
	case KindMap:
		return "map"
	case KindChan:
		return "channel"
	default:
		return "kind " + strconv.Itoa(int(k))
	}
}

// A SessionID names a session. It is a string so that no tool rounds it.
type SessionID string

// A Holder holds or waits.
type Holder struct {
	Session  SessionID
	Name     string // WithName
	Metadata map[string]string
	Note     string
	Token    Token
	Shared   bool
	Count    int64
	For      time.Duration // held, or waited
	TraceID  string        // of a holder's span, in hexadecimal, if it has one
	Renewed  time.Duration // since its session was renewed; unrenewed for its TTL, it ends
	TTL      time.Duration
	Delayed  time.Duration // what remains of a lock-delay, if its session has failed; else 0
}

// String says who it is, and why if it said so: host-a pid 812 (billing).
func (h Holder) String() string {
	host, pid := h.Metadata["host"], h.Metadata["pid"]
	s := host
	if s == "" {
		s = "session " + string(h.Session)
	}
	if pid != "" {
		s += " pid " + pid
	}
	if why := cmp.Or(h.Note, h.Name); why != "" {
		s += " (" + why + ")"
	}
	return s
}

// A Description is an object at one log index.
type Description struct {
	Kind    Kind
	Name    string
	Index   uint64
	Holders []Holder
	Waiters []Holder // in order; at most 100
	Waiting int      // all of them
	Limit   int64    // of a semaphore, in force; a channel's capacity
	Held    int64    // permits; a channel's elements; what a wait group counts; a map's entries
	Unacked int64    // of a channel's elements, those received and not acknowledged
	Bytes   int64    // of elements, of entries, of a once's result
	Codec   string   // of a channel's elements, of a map's entries
	State   State    // 0 of most
}

// A State is one that an object stays in.
type State uint8

// Wire values; never reordered.
const (
	StateClosed   State = iota + 1 // a channel: nothing more is sent
	StateDone                      // a once: its function has returned
	StatePanicked                  // a once: its function has panicked
	StateCut                       // a wait group: a process died before its Done
)

func (s State) String() string {
	switch s {
	case 0:
		return ""
	case StateClosed:
		return "closed"
	case StateDone:
		return "done"
	case StatePanicked:
		return "panicked"
	case StateCut:
		return "cut short"
	default:
		return "state " + strconv.Itoa(int(s))
	}
}

// Describe returns who holds and who waits, linearizably. [ErrNotFound] if nothing
// of that name exists.
func (c *Client) Describe(ctx context.Context, kind Kind, name string) (*Description, error) {
	d, err := c.courier.describe(ctx, "describe "+Ref{Kind: kind, Name: name}.String(), kind, name)
	if err != nil {
		return nil, err
	}
	return descriptionFrom(d), nil
}

// describe is Describe, as the wire has it.
func (k *courier) describe(ctx context.Context, op string, kind Kind, name string) (*coordv1.Description, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	body := &coordv1.Op{Op: &coordv1.Op_Describe{Describe: &coordv1.Describe{Kind: coordv1.Kind(kind), Name: name}}}
	out, err := k.ask(ctx, op, lessee.ClassRead, body)
	if err != nil {
		return nil, err
	}
	if out.GetCode() != coordv1.Code_CODE_DONE || out.GetDescription() == nil {
		return nil, fmt.Errorf("%s: %w", op, refusal(out))
	}
	return out.GetDescription(), nil
}

func descriptionFrom(d *coordv1.Description) *Description {
	return &Description{
		Kind:    Kind(d.GetKind()),
		Name:    d.GetName(),
		Index:   d.GetIndex(),
		Holders: holdersFrom(d.GetHolders()),
		Waiters: holdersFrom(d.GetWaiters()),
		Waiting: int(d.GetWaiting()),
		Limit:   d.GetLimit(),
		Held:    d.GetHeld(),
		Unacked: d.GetUnacknowledged(),
		Bytes:   d.GetBytes(),
		Codec:   d.GetCodec(),
		State:   State(d.GetState()),
	}
}

// Delete removes a stored object: a once, a channel and what is buffered in it, a map, a wait
// group that was cut short, a semaphore's limit. [ErrBusy] while anyone holds it or waits on
// it, [ErrNotFound] if there is none.
func (c *Client) Delete(ctx context.Context, kind Kind, name string) error {
	op := "delete " + Ref{Kind: kind, Name: name}.String()
	if err := checkName(name); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	body := &coordv1.Op{Op: &coordv1.Op_Delete{Delete: &coordv1.Delete{Kind: coordv1.Kind(kind), Name: name}}}
	_, err := c.courier.ask(ctx, op, lessee.ClassChange, body)
	return err
}

func holdersFrom(parties []*coordv1.Party) []Holder {
	hs := make([]Holder, 0, len(parties))
	for _, p := range parties {
		hs = append(hs, holderFrom(p))
	}
	return hs
}

func holderFrom(p *coordv1.Party) Holder {
	return Holder{
		Session:  sessionID(p.GetSessionId()),
		Name:     p.GetWho().GetName(),
		Metadata: p.GetWho().GetMetadata(),
		Note:     p.GetNote(),
		Token:    Token(p.GetToken()),
		Shared:   p.GetShared(),
		Count:    p.GetCount(),
		For:      p.GetFor().AsDuration(),
		TraceID:  p.GetTraceId(),
		Renewed:  p.GetRenewed().AsDuration(),
		TTL:      p.GetTtl().AsDuration(),
		Delayed:  p.GetDelayed().AsDuration(),
	}
}

// sessionID prints as the rest of the system does: sixteen hexadecimal digits.
func sessionID(id uint64) SessionID { return SessionID(fmt.Sprintf("%016x", id)) }

// number is the id that sessionID printed.
func (s SessionID) number() (uint64, error) {
	id, err := strconv.ParseUint(string(s), 16, 64)
	if err != nil || len(s) != 16 || id == 0 {
		return 0, fmt.Errorf("%w: session id %q is not 16 hexadecimal digits", ErrInvalid, string(s))
	}
	return id, nil
}
