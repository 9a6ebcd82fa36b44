package certs

import "testing"

func TestFaultOf(t *testing.T) {
	const handshake = `connection error: desc = "transport: authentication handshake failed: `
	const preface = `connection error: desc = "error reading server preface: `
	for message, want := range map[string]Fault{
		handshake + `tls: failed to verify certificate: x509: certificate signed by unknown authority"`:                   FaultAuthority,
		handshake + `tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time"`: FaultTime,
		handshake + `tls: failed to verify certificate: x509: certificate is valid for a, not b"`:                         FaultHost + ": certificate is valid for a, not b",
		handshake + `tls: first record does not look like a TLS handshake"`:                                               FaultPlain,
		handshake + `EOF"`: FaultHungUp,
		handshake + `read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer"`: FaultHungUp,
		preface + `remote error: tls: certificate required"`:                             FaultNone,
		preface + `remote error: tls: unknown certificate authority"`:                    FaultStranger,
		preface + `remote error: tls: expired certificate"`:                              FaultExpired,
		preface + `remote error: tls: bad certificate"`:                                  FaultRefused,
		preface + `EOF"`: FaultHungUp,
		handshake + `remote error: tls: protocol version not supported"`:                                               FaultVersion,
		"no coordd at a:1: " + string(FaultNone) + ", nor at b:1: " + string(FaultHungUp):                              FaultNone,
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`: "",
		"read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer":                                            "",
		"": "",
	} {
		if got := FaultOf(message); got != want {
			t.Errorf("%s\n%q, want %q", message, got, want)
		}
	}
}
