package rights

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the file is looked at, at most.
	lookEvery = time.Second

	// A file that was written so shortly before it was read may be written once more without
	// its time telling: it is read again.
	settled = 2 * time.Second
)

// Errors of Authenticate.
var (
	ErrUnknown = errors.New("not known here") // no such token, no such certificate
	ErrExpired = errors.New("expired")
)

// Rights are those of one file. They may be used by several goroutines.
type Rights struct {
	path   string
	logger *slog.Logger
	now    atomic.Pointer[table]
	looked atomic.Int64 // nanoseconds since began

	began time.Time

	mu   sync.Mutex // held while the file is looked at
	info fs.FileInfo
	read time.Time // when info's content was read
	sum  hash      // of that
}

// Open reads the file. One that is faulty is an error here, and later only a line in the log.
func Open(path string, logger *slog.Logger) (*Rights, error) {
	r := &Rights{path: path, logger: logger, began: time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := r.load()
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	t, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("read credentials %s: %w", path, err)
	}
	r.now.Store(t)
	return r, nil
}

// An Identity is who asks, and by what that was told. The zero Identity is nobody.
type Identity struct {
	Principal string

	token       hash
	certificate string
}

// ByToken says whose a bearer token is. It is looked up by its hash: a lookup that takes
// longer for a better guess tells about the hash of the guess, which nobody can choose, so
// that there is nothing to be compared in constant time.
func (r *Rights) ByToken(secret string) (Identity, error) {
	id := Identity{token: sha256.Sum256([]byte(secret))}
	principal, err := r.table().byToken(id.token)
	id.Principal = principal
	if err != nil {
		return Identity{}, err
	}
	return id, nil
}

// ByCertificate says whose a verified certificate is, by the name in it.
func (r *Rights) ByCertificate(name string) (Identity, error) {
	principal, ok := r.table().certificates[name]
	if !ok {
		return Identity{}, fmt.Errorf("certificate %q: %w", name, ErrUnknown)
	}
	return Identity{Principal: principal, certificate: name}, nil
}

// Still says whether what proved an identity would prove it now: streams outlast tokens. It
// is nil of an identity that another node has proved.
func (r *Rights) Still(id Identity) error {
	t := r.table()
	switch {
	case id.certificate != "":
		if t.certificates[id.certificate] != id.Principal {
			return fmt.Errorf("certificate %q: %w", id.certificate, ErrUnknown)
		}
	case id.token != hash{}:
		switch principal, err := t.byToken(id.token); {
		case err != nil:
			return err
		case principal != id.Principal:
			return fmt.Errorf("token: %w", ErrUnknown)
		}
	}
	return nil
}

func (t *table) byToken(h hash) (string, error) {
	found, ok := t.tokens[h]
	switch {
	case !ok:
		return "", fmt.Errorf("token: %w", ErrUnknown)
	case !found.expires.IsZero() && !time.Now().Before(found.expires):
		return "", fmt.Errorf("token of %s: %w", found.principal, ErrExpired)
	}
	return found.principal, nil
}

// Knows says whether the file has a principal.
func (r *Rights) Knows(principal string) bool {
	_, ok := r.table().principals[principal]
	return ok
}

// Decide says whether a principal may do something to a resource, and if not why.
func (r *Rights) Decide(principal string, v Verb, on Resource) (allowed bool, why string) {
	of, ok := r.table().principals[principal]
	if on.Kind > kinds || v > verbs {
		return false, "no rule is about that"
	}
	if !ok {
		return false, fmt.Sprintf("%s is no principal here", named(principal))
	}
	var denied bool
	if on.Prefix || on.Kind == AnyKind {
		allowed, denied = of.every(v, on.Kind, on.Name)
	} else {
		allowed, denied = of.one(v, on.Kind, on.Name)
	}
	switch {
	case allowed:
		return true, ""
	case denied:
		return false, fmt.Sprintf("a rule of %s denies %s of %s", principal, v, on)
	default:
		return false, fmt.Sprintf("no rule of %s allows %s of %s", principal, v, on)
	}
}

func named(principal string) string {
	if principal == "" {
		return "who asks"
	}
	return principal
}

// table is the present one. Whoever comes first in a second looks at the file; the others
// do not wait for that.
func (r *Rights) table() *table {
	since := int64(time.Since(r.began))
	last := r.looked.Load()
	if since-last >= int64(lookEvery) && r.looked.CompareAndSwap(last, since) {
		r.look()
	}
	return r.now.Load()
}

// look takes up a file that has changed.
func (r *Rights) look() {
	if !r.mu.TryLock() {
		return // a slow disk: the last look is still under way
	}
	defer r.mu.Unlock()
	info, err := os.Stat(r.path)
	if err == nil && r.unchanged(info) {
		return
	}
	before := r.sum
	data, err := r.load()
	if err != nil {
		if r.info != nil { // said once
			r.logger.Error("credentials: the file cannot be read; the rules that were read last stay in force", "err", err)
		}
		r.info = nil
		return
	}
	if r.sum == before {
		return
	}
	t, err := parse(data)
	if err != nil {
		r.logger.Error("credentials: the file is faulty; the rules that were read last stay in force",
			"file", r.path, "err", err)
		return
	}
	r.now.Store(t)
	r.logger.Info("credentials: read anew", "file", r.path, "principals", len(t.principals), "rules", t.rules)
}

// unchanged says that the file is surely what was read. mu is held.
func (r *Rights) unchanged(info fs.FileInfo) bool {
	return r.info != nil && os.SameFile(info, r.info) && info.Size() == r.info.Size() &&
		info.ModTime().Equal(r.info.ModTime()) && r.read.Sub(info.ModTime()) > settled
}

// load reads the file and remembers what it read. mu is held.
func (r *Rights) load() ([]byte, error) {
	f, err := os.Open(r.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, at most %d", r.path, info.Size(), maxFile)
	}
	read := time.Now()
	var data bytes.Buffer
	if _, err := data.ReadFrom(f); err != nil {
		return nil, err
	}
	if m := info.Mode().Perm(); m&0o077 != 0 && (r.info == nil || r.info.Mode().Perm() != m) {
		r.logger.Warn("credentials: others than the owner may use the file; chmod 600 it", "file", r.path, "mode", m)
	}
	r.info, r.read, r.sum = info, read, sha256.Sum256(data.Bytes())
	return data.Bytes(), nil
}
