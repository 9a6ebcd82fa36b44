package hraft

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// levelTrace is below slog's levels, where hclog has it.
const levelTrace = slog.LevelDebug - 4

// hcLog is an hclog.Logger that writes to a slog.Logger. The libraries below use no
// more of hclog than levels, pairs and names.
type hcLog struct {
	to   *slog.Logger
	name string
	args []any // of With
}

var _ hclog.Logger = (*hcLog)(nil)

func newHCLog(to *slog.Logger) *hcLog { return &hcLog{to: to} }

func slogLevel(l hclog.Level) slog.Level {
	switch l {
	case hclog.Trace:
		return levelTrace
	case hclog.Debug:
		return slog.LevelDebug
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	case hclog.NoLevel, hclog.Info, hclog.Off:
	}
	return slog.LevelInfo
}

// newerTerm is what a leader says, as an error, when it hears that another one is elected. So
// ends every leadership that is handed over: nothing is wrong.
const newerTerm = "peer has newer term, stopping replication"

// Log is part of hclog.Logger.
func (h *hcLog) Log(level hclog.Level, msg string, args ...any) {
	to := slogLevel(level)
	if msg == newerTerm {
		to = min(to, slog.LevelInfo)
	}
	if level == hclog.Off || !h.to.Enabled(context.Background(), to) {
		return
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	h.to.Log(context.Background(), to, msg, args...)
}

// The rest is hclog.Logger.

func (h *hcLog) Trace(msg string, args ...any) { h.Log(hclog.Trace, msg, args...) }
func (h *hcLog) Debug(msg string, args ...any) { h.Log(hclog.Debug, msg, args...) }
func (h *hcLog) Info(msg string, args ...any)  { h.Log(hclog.Info, msg, args...) }
func (h *hcLog) Warn(msg string, args ...any)  { h.Log(hclog.Warn, msg, args...) }
func (h *hcLog) Error(msg string, args ...any) { h.Log(hclog.Error, msg, args...) }

func (h *hcLog) enabled(l hclog.Level) bool {
	return h.to.Enabled(context.Background(), slogLevel(l))
}

func (h *hcLog) IsTrace() bool { return h.enabled(hclog.Trace) }
func (h *hcLog) IsDebug() bool { return h.enabled(hclog.Debug) }
func (h *hcLog) IsInfo() bool  { return h.enabled(hclog.Info) }
func (h *hcLog) IsWarn() bool  { return h.enabled(hclog.Warn) }
func (h *hcLog) IsError() bool { return h.enabled(hclog.Error) }

func (h *hcLog) ImpliedArgs() []any { return h.args }
func (h *hcLog) Name() string       { return h.name }

func (h *hcLog) With(args ...any) hclog.Logger {
	all := append(append([]any(nil), h.args...), args...)
	return &hcLog{to: h.to.With(args...), name: h.name, args: all}
}

func (h *hcLog) Named(name string) hclog.Logger {
	if h.name != "" {
		name = h.name + "." + name
	}
	return h.ResetNamed(name)
}

func (h *hcLog) ResetNamed(name string) hclog.Logger {
	return &hcLog{to: h.to, name: name, args: h.args}
}

// SetLevel does nothing: the slog handler decides.
func (h *hcLog) SetLevel(hclog.Level) {}

func (h *hcLog) GetLevel() hclog.Level {
	for _, l := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn} {
		if h.enabled(l) {
			return l
		}
	}
	return hclog.Error
}

func (h *hcLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(h.to.Handler(), slog.LevelInfo)
}

func (h *hcLog) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return h.StandardLogger(o).Writer()
}
