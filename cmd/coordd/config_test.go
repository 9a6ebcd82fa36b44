package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// settings merges a command line, an environment and a file, as serve does.
func settings(t *testing.T, args, environ []string, file string) (Config, []string, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "coordd.json")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	var c Config
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	c.flags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	warnings, err := merge(flags, environ)
	return c, warnings, err
}

func TestPrecedence(t *testing.T) {
	file := `{"name": "file", "data-dir": "file", "listen-peer": "file:1", "join": ["x:1", "y:1"],
		"bootstrap-expect": 2, "snapshot-entries": 7, "pprof": true, "log-level": "warn"}`
	environ := []string{"HOME=/", "COORDD_NAME=env", "COORDD_DATA_DIR=env", "COORDD_JOIN=a:1,b:1", "COORDD_LOG_FORMAT="}
	got, warnings, err := settings(t, []string{"--name", "flag"}, environ, file)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	want := Config{
		Name: "flag", DataDir: "env", ListenClient: "127.0.0.1:7600", ListenPeer: "file:1", ListenAdmin: "127.0.0.1:7602",
		Join: []string{"a:1", "b:1"}, BootstrapExpect: 2, Engine: "raft", LogFormat: "text", LogLevel: slog.LevelWarn, Pprof: true,
		MaxStreamsPerClient: 8_192, MaxCallsPerClient: 4_096,
		SnapshotEntries: 7, SnapshotInterval: 30 * time.Second, DiskStallLimit: 2 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultsAreValid(t *testing.T) {
	got, _, err := settings(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := got.validate(); err != nil {
		t.Error(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	if got.Name != host || got.DataDir != "coordd-data" {
		t.Errorf("name %q, directory %q", got.Name, got.DataDir)
	}
}

func TestConfigByEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(path, []byte(`{"name": "file"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, _, err := settings(t, nil, []string{"COORDD_CONFIG=" + path}, "")
	if err != nil || got.Name != "file" {
		t.Errorf("name %q, %v", got.Name, err)
	}
}

// TestUnknownEnvironment: what Kubernetes gives a pod beside a Service named coordd.
func TestUnknownEnvironment(t *testing.T) {
	_, warnings, err := settings(t, nil, []string{
		"COORDD_SERVICE_HOST=10.0.0.1", "COORDD_PORT=tcp://10.0.0.1:7600", "COORDD_HELP=1", "COORD_ENDPOINTS=x",
	}, "")
	if err != nil || len(warnings) != 3 || !strings.Contains(warnings[1], "COORDD_PORT ") {
		t.Errorf("%v, warnings %q", err, warnings)
	}
}

func TestBadSettings(t *testing.T) {
	tests := map[string]struct {
		environ []string
		file    string
		want    string
	}{
		"env value":    {[]string{"COORDD_BOOTSTRAP_EXPECT=many"}, "", "COORDD_BOOTSTRAP_EXPECT"},
		"env level":    {[]string{"COORDD_LOG_LEVEL=loud"}, "", "must be debug, info, warn or error"},
		"unknown key":  {nil, `{"nmae": "x"}`, `"nmae": no such setting`},
		"config in it": {nil, `{"config": "x"}`, `"config": no such setting`},
		"not json":     {nil, "{\n\"name\": \"x\",\n}", "line 3"},
		"two objects":  {nil, `{} {}`, "more than one"},
		"not object":   {nil, `["name"]`, "read config"},
		"wrong type":   {nil, `{"bootstrap-expect": "three"}`, `"bootstrap-expect"`},
		"null":         {nil, `{"name": null}`, "must be a string, a number"},
		"list of list": {nil, `{"join": [1]}`, "list of strings"},
		"both":         {[]string{"COORDD_PPROF=maybe"}, `{"nmae": 1}`, "COORDD_PPROF"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, _, err := settings(t, nil, tt.environ, tt.file); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, _, err := settings(t, []string{"--config", "/nowhere/coordd.json"}, nil, ""); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		args []string
		want string // empty: fine
	}{
		{[]string{"--listen-client", "0.0.0.0:7600"}, "--listen-client 0.0.0.0:7600: not a loopback address"},
		{[]string{"--listen-peer", ":7601"}, "--insecure-allow-remote"},
		{[]string{"--listen-admin", "10.0.0.1:7602"}, "give --cert-file and --key-file"},
		{[]string{"--listen-admin", "somewhere:7602"}, "not a loopback address"},
		{[]string{"--listen-admin", "somewhere:7602", "--insecure-allow-remote"}, ""},
		{[]string{"--listen-admin", "localhost:7602"}, ""},
		{[]string{"--listen-admin", "[::1]:7602"}, ""},
		{[]string{"--listen-admin", "7602"}, `"7602" is not host:port`},
		{[]string{"--advertise-peer", "0.0.0.0:7601"}, "--advertise-peer: address \"0.0.0.0:7601\" means every interface"},
		{[]string{"--advertise-client", "[::]:7601"}, "--advertise-client"},
		{[]string{"--join", "a:1,a:1"}, "twice"},
		{[]string{"--engine", "etcd"}, "--engine etcd: not in this version"},
		{[]string{"--engine", "paxos"}, `--engine "paxos": must be raft`},
		{[]string{"--log-format", "xml"}, "--log-format"},
		{[]string{"--name", ""}, "--name"},
		{[]string{"--data-dir", ""}, "--data-dir"},
		{[]string{"--bootstrap-expect", "-1"}, "--bootstrap-expect -1"},
		{[]string{"--max-streams-per-client", "-1"}, "--max-streams-per-client -1"},
		{[]string{"--max-calls-per-client", "-2"}, "--max-calls-per-client -2"},
		{[]string{"--snapshot-interval", "1ms"}, "--snapshot-interval 1ms: must be at least 5ms"},
		{[]string{"--snapshot-interval", "-1s"}, "--snapshot-interval -1s"},
		{[]string{"--disk-stall-limit", "99ms"}, "--disk-stall-limit 99ms: must be at least 100ms"},
		{[]string{"--disk-stall-limit", "-1s"}, "--disk-stall-limit -1s"},
		{[]string{"--disk-stall-limit", "1m"}, ""},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) { wantFault(t, tt.args, tt.want) })
	}
}

// wantFault validates a command line; "" is one without fault.
func wantFault(t *testing.T, args []string, want string) {
	t.Helper()
	c, _, err := settings(t, args, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	err = c.validate()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestValidateJoinsFaults: one run shows all there is to mend.
func TestValidateJoinsFaults(t *testing.T) {
	c, _, err := settings(t, []string{"--engine", "etcd", "--listen-client", ":1", "--log-format", "x"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	err = c.validate()
	for _, want := range []string{"--engine", "--listen-client", "--log-format"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
}
