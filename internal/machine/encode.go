package machine

import (
	"fmt"

	"coordd.dev/internal/park"
	"coordd.dev/internal/wire"
	"coordd.dev/table"
)

// The first byte of an encoded command. The values are the log's; never reorder them.
const (
	tagBootstrap = iota + 1
	tagRenew
	tagAttach
	tagFrame
	tagRevoke
	tagSessions
	tagOpen
	tagCall
	tagDescribe
	tagList
	tagRead
	tagRestoreBegin
	tagRestorePiece
	tagRestoreFinish
	tagRestoreAbort
	tagUpgrade
	tagCheckpoint
	tagVerdict
)

const maxUint = 1<<64 - 1

// AppendCommand appends the log's encoding of c to b.
func AppendCommand(b []byte, c Command) []byte {
	switch c := c.(type) {
	case *Bootstrap:
		b = append(b, tagBootstrap)
		b = wire.AppendString(b, c.Cluster)
		return wire.AppendUint(b, c.Floor)
	case *Renew:
		b = append(b, tagRenew)
		b = wire.AppendUint(b, uint64(len(c.Sessions)))
		for _, s := range c.Sessions {
			b = wire.AppendUint(b, s)
		}
		return b
	case *Attach:
		return appendAttach(append(b, tagAttach), c)
	case *Frame:
		b = append(b, tagFrame)
		b = wire.AppendUint(b, c.Session)
		b = wire.AppendUint(b, c.Epoch)
		b = appendRanges(b, c.Acked)
		b = wire.AppendUint(b, uint64(len(c.Ops)))
		for i := range c.Ops {
			b = appendOp(b, &c.Ops[i])
		}
		return b
	case *Revoke:
		b = append(b, tagRevoke)
		return wire.AppendBool(wire.AppendUint(b, c.Session), c.Now)
	case *Sessions:
		return append(b, tagSessions)
	case *Open:
		b = append(b, tagOpen)
		b = append(b, c.Secret[:]...)
		return wire.AppendString(wire.AppendInt(b, c.TTL), c.Who)
	case *Call:
		b = append(b, tagCall)
		b = wire.AppendUint(b, c.Session)
		b = append(b, c.Secret[:]...)
		b = wire.AppendString(wire.AppendString(b, c.Request), c.Target)
		return appendOp(b, &c.Op)
	case *Describe:
		return c.On.Append(append(b, tagDescribe))
	case *List:
		b = wire.AppendUint(append(b, tagList), c.Kind)
		b = c.After.Append(wire.AppendString(b, c.Prefix))
		return wire.AppendInt(b, c.Max)
	case *Read:
		return appendTable(c.On.Append(append(b, tagRead)), &c.Op)
	case *RestoreBegin:
		return wire.AppendString(append(b, tagRestoreBegin), c.ID)
	case *RestorePiece:
		b = wire.AppendUint(wire.AppendString(append(b, tagRestorePiece), c.ID), c.N)
		return wire.AppendString(b, c.Data)
	case *RestoreFinish:
		b = wire.AppendInt(wire.AppendString(append(b, tagRestoreFinish), c.ID), c.Size)
		return wire.AppendInt(wire.AppendInt(wire.AppendUint(b, c.Sum), c.Now), c.Taken)
	case *RestoreAbort:
		return wire.AppendString(append(b, tagRestoreAbort), c.ID)
	case *Upgrade:
		return wire.AppendUint(append(b, tagUpgrade), c.Version)
	case *Checkpoint:
		return append(b, tagCheckpoint)
	case *Verdict:
		return appendVerdict(append(b, tagVerdict), c)
	}
	panic("machine: a command without an encoding")
}

func appendAttach(b []byte, c *Attach) []byte {
	b = wire.AppendUint(b, c.Session)
	b = append(b, c.Secret[:]...)
	b = wire.AppendUint(b, c.Instance)
	b = wire.AppendUint(b, c.Epoch)
	b = appendRanges(b, c.Wanted)
	b = wire.AppendInt(b, c.TTL)
	b = wire.AppendString(b, c.Who)
	b = wire.AppendUint(b, c.Replaces)
	return append(b, c.ReplacesSecret[:]...)
}

func appendRanges(b []byte, ranges []Range) []byte {
	b = wire.AppendUint(b, uint64(len(ranges)))
	for _, r := range ranges {
		b = wire.AppendUint(wire.AppendUint(b, r.First), r.Last)
	}
	return b
}

func appendOp(b []byte, op *Op) []byte {
	b = wire.AppendUint(b, op.Seq)
	b = wire.AppendUint(b, op.Do)
	switch op.Do {
	case DoWait:
		return appendWait(b, &op.Wait)
	case DoAwait:
		return appendWait(wire.AppendUint(b, op.To), &op.Wait)
	case DoEnd, DoAck:
		return wire.AppendUint(b, op.To)
	case DoRelease:
		return wire.AppendInt(wire.AppendUint(b, op.To), op.N)
	case DoResize, DoAdd, DoSignal:
		return wire.AppendInt(op.On.Append(b), op.N)
	case DoDescribe, DoDelete:
		return op.On.Append(b)
	case DoComplete:
		return wire.AppendInt(wire.AppendString(wire.AppendUint(b, op.To), op.Value), op.N)
	case DoClose:
		return wire.AppendString(wire.AppendInt(op.On.Append(b), op.N), op.Codec)
	case DoTable:
		return appendTable(op.On.Append(b), op.Table)
	case DoProclaim:
		return wire.AppendString(wire.AppendUint(b, op.To), op.Value)
	case DoTransfer:
		return wire.AppendUint(wire.AppendUint(b, op.To), op.Heir)
	case DoRefuse:
		return wire.AppendInt(b, op.N)
	case DoNoop, DoLeave:
		return b
	}
	panic("machine: an op without an encoding")
}

func appendWait(b []byte, w *Wait) []byte {
	b = park.AppendArms(b, w.Arms)
	b = wire.AppendUint(b, w.Commit)
	b = wire.AppendUint(b, w.flags())
	b = wire.AppendInt(b, w.Prio)
	b = wire.AppendInt(b, w.Delay)
	b = wire.AppendInt(b, w.Limit)
	b = wire.AppendString(b, w.Note)
	if w.Trace != "" {
		b = wire.AppendString(b, w.Trace)
	}
	if !w.Lineage.Empty() {
		b = park.AppendLineage(b, w.Lineage)
	}
	return b
}

func appendTable(b []byte, op *table.Op) []byte {
	b = wire.AppendString(wire.AppendUint(b, op.Verb), op.Key)
	return wire.AppendString(wire.AppendString(wire.AppendString(b, op.Value), op.Old), op.Codec)
}

func decodeTable(d *wire.Decoder) *table.Op {
	return &table.Op{
		Verb: table.Verb(d.Uint(255)), Key: d.String(), Value: d.String(), Old: d.String(), Codec: d.String(), //nolint:gosec // bounded by the argument
	}
}

// The flags of a wait's encoding.
const (
	flagTry     = 1 << iota
	flagTrace   // a trace follows
	flagLineage // a lineage follows
	allFlags    = flagTry | flagTrace | flagLineage
)

func (w *Wait) flags() (f uint8) {
	if w.Try {
		f |= flagTry
	}
	if w.Trace != "" {
		f |= flagTrace
	}
	if !w.Lineage.Empty() {
		f |= flagLineage
	}
	return f
}

func decodeWait(d *wire.Decoder) Wait {
	w := Wait{Arms: park.DecodeArms(d), Commit: park.Commit(d.Uint(255))}
	f := d.Uint(allFlags)
	w.Try = f&flagTry != 0
	w.Prio, w.Delay, w.Limit, w.Note = d.Int32(), d.Int(), d.Int(), d.String()
	if f&flagTrace != 0 {
		w.Trace = d.Text()
	}
	if f&flagLineage != 0 {
		w.Lineage = park.DecodeLineage(d)
	}
	return w
}

// DecodeCommand decodes a command. An error means that this version does not know it,
// or that it is damaged: the node must stop before it applies it. What is returned
// shares no memory with b.
func DecodeCommand(b []byte) (Command, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("decode command: %w: empty", wire.ErrCorrupt)
	}
	d := wire.NewDecoder(b[1:])
	c := decodeCommand(b[0], d)
	if err := d.Close(); err != nil {
		return nil, fmt.Errorf("decode command of type %d: %w", b[0], err)
	}
	return c, nil
}

func decodeCommand(tag byte, d *wire.Decoder) Command {
	switch tag {
	case tagBootstrap:
		return &Bootstrap{Cluster: d.String(), Floor: park.Token(d.Uint(maxUint))}
	case tagRenew:
		c := &Renew{Sessions: make([]park.SessionID, d.Len())}
		for i := range c.Sessions {
			c.Sessions[i] = park.SessionID(d.Uint(maxUint))
		}
		return c
	case tagAttach:
		return decodeAttach(d)
	case tagFrame:
		c := &Frame{
			Session: park.SessionID(d.Uint(maxUint)),
			Epoch:   d.Uint(maxUint),
			Acked:   decodeRanges(d),
		}
		n := d.Len()
		c.Ops = make([]Op, 0, min(n, 1024))
		for i := 0; i < n && !d.Failed(); i++ {
			c.Ops = append(c.Ops, Op{})
			decodeOp(d, &c.Ops[i])
		}
		return c
	case tagRevoke:
		return &Revoke{Session: park.SessionID(d.Uint(maxUint)), Now: d.Bool()}
	case tagSessions:
		return &Sessions{}
	case tagOpen:
		c := &Open{}
		d.Fill(c.Secret[:])
		c.TTL, c.Who = d.Int(), d.String()
		return c
	case tagCall:
		c := &Call{Session: park.SessionID(d.Uint(maxUint))}
		d.Fill(c.Secret[:])
		c.Request, c.Target = d.String(), d.String()
		decodeOp(d, &c.Op)
		return c
	case tagDescribe:
		return &Describe{On: park.DecodeObject(d)}
	case tagList:
		return &List{
			Kind: park.Kind(d.Uint(255)), Prefix: d.String(), After: park.DecodeObject(d), Max: d.Int(),
		}
	case tagRead:
		return &Read{On: park.DecodeObject(d), Op: *decodeTable(d)}
	case tagRestoreBegin:
		return &RestoreBegin{ID: d.String()}
	case tagRestorePiece:
		return &RestorePiece{ID: d.String(), N: d.Uint(maxUint), Data: d.String()}
	case tagRestoreFinish:
		return &RestoreFinish{ID: d.String(), Size: d.Int(), Sum: d.Uint(maxUint), Now: d.Int(), Taken: d.Int()}
	case tagRestoreAbort:
		return &RestoreAbort{ID: d.String()}
	case tagUpgrade:
		return decodeUpgrade(d)
	case tagCheckpoint:
		return &Checkpoint{}
	case tagVerdict:
		return decodeVerdict(d)
	}
	d.Fail("unknown command")
	return nil
}

func decodeAttach(d *wire.Decoder) *Attach {
	c := &Attach{Session: park.SessionID(d.Uint(maxUint))}
	d.Fill(c.Secret[:])
	c.Instance = d.Uint(maxUint)
	c.Epoch = d.Uint(maxUint)
	c.Wanted = decodeRanges(d)
	c.TTL = d.Int()
	c.Who = d.String()
	c.Replaces = park.SessionID(d.Uint(maxUint))
	d.Fill(c.ReplacesSecret[:])
	return c
}

func decodeRanges(d *wire.Decoder) []Range {
	n := d.Len()
	if n == 0 {
		return nil
	}
	ranges := make([]Range, 0, min(n, 1024))
	for i := 0; i < n && !d.Failed(); i++ {
		ranges = append(ranges, Range{park.Seq(d.Uint(maxUint)), park.Seq(d.Uint(maxUint))})
	}
	return ranges
}

func decodeOp(d *wire.Decoder, op *Op) {
	op.Seq = park.Seq(d.Uint(maxUint))
	op.Do = Do(d.Uint(255))
	switch op.Do {
	case DoWait:
		op.Wait = decodeWait(d)
	case DoAwait:
		op.To, op.Wait = park.Seq(d.Uint(maxUint)), decodeWait(d)
	case DoEnd, DoAck:
		op.To = park.Seq(d.Uint(maxUint))
	case DoRelease:
		op.To, op.N = park.Seq(d.Uint(maxUint)), d.Int()
	case DoResize, DoAdd, DoSignal:
		op.On, op.N = park.DecodeObject(d), d.Int()
	case DoDescribe, DoDelete:
		op.On = park.DecodeObject(d)
	case DoComplete:
		op.To, op.Value, op.N = park.Seq(d.Uint(maxUint)), d.String(), d.Int()
	case DoClose:
		op.On, op.N, op.Codec = park.DecodeObject(d), d.Int(), d.String()
	case DoTable:
		op.On, op.Table = park.DecodeObject(d), decodeTable(d)
	case DoProclaim:
		op.To, op.Value = park.Seq(d.Uint(maxUint)), d.String()
	case DoTransfer:
		op.To, op.Heir = park.Seq(d.Uint(maxUint)), park.SessionID(d.Uint(maxUint))
	case DoRefuse:
		op.N = d.Int()
	case DoNoop, DoLeave:
	default:
		d.Fail("unknown op")
	}
}
